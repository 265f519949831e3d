"""The Chinese of what domain rules, resolver and verifier say; `smtprelay.retelling` says how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TYPES = ("TXT", "MX", "A", "AAAA", "PTR")

_DNS: Mapping[str, str] = {
    "DNS does not answer: {reason}": "DNS 没有答复：{reason}",
    "DNS does not answer for {name}: {reason}": "DNS 没有答复对 {name} 的查询：{reason}",
    "{name} is an alias (CNAME) of {canonical}, {advice}": "{name} 是 {canonical} 的别名（CNAME），{advice}",
    "and an alias can have no records of its own: remove it first": "而别名不能有自己的记录：请先将其删除",
    "{some} and {count} more": "{some} 等，另有 {count} 项",
    "{count} or more": "至少 {count}",
}

# What the resolver says after those.
_RESOLVER: Mapping[str, str] = {
    **{f"{kind} of {{name}}: {{reason}}": f"{{name}} 的 {kind} 记录：{{reason}}" for kind in _TYPES},
    "no usable answer from {servers} within {seconds} s": "{servers} 在 {seconds} 秒内没有可用的答复",
    "no name server is known ({error}): {advice}": "没有已知的域名服务器（{error}）：{advice}",
    "list yours in {file}, or in domain_rules.nameservers": "请在 {file} 或 domain_rules.nameservers 中列出",
    "the name server answers what nobody asked: {name} {type}": "域名服务器答非所问：{name} {type}",
    "the name server knows its own zones only: name a resolver in its place": (
        "该域名服务器只知道自己的区域：请改用递归解析服务器"
    ),
    "the resolver is closed": "解析器已关闭",
}

_SPF: Mapping[str, str] = {
    "there is no such name in DNS: {domain}": "DNS 中没有这个名称：{domain}",
    "{domain} has no SPF record": "{domain} 没有 SPF 记录",
    "{domain} has {count} SPF records, and receivers heed none: there may be only one": (
        "{domain} 有 {count} 条 SPF 记录，收件方一条也不会采用：只能有一条"
    ),
    "'{text}' is no SPF record: {reason}": "'{text}' 不是 SPF 记录：{reason}",
    "there must be a space after {version}": "{version} 之后必须有空格",
    "it begins with white space": "以空白开头",
    "it begins with a quotation mark": "以引号开头",
    "it must begin with {version} and a space": "必须以 {version} 加空格开头",
    "the SPF record lacks {term}": "SPF 记录缺少 {term}",
    "the SPF record has '{text}' where it needs {term}": "SPF 记录中应为 {term} 之处写成了 '{text}'",
    "'{text}' decides before receivers come to {term}": "收件方读到 {term} 之前，'{text}' 已作出判定",
    "receivers do not come to {term}": "收件方读不到 {term}",
    "{term} in the SPF record of {domain}": "{domain} 的 SPF 记录中的 {term}",
    "{goal} does not count: receivers ignore {term} because of '{end}' in the same record": (
        "{goal} 不起作用：由于同一条记录中有 '{end}'，收件方忽略 {term}"
    ),
    "{term} stands after '{end}', where receivers read no further": "{term} 在 '{end}' 之后，收件方不会读到那里",
    "begins with '{qualifier}' and so {effect}": "以 '{qualifier}' 开头，因此{effect}",
    "{term} begins with '{qualifier}' and so {effect}": "{term} 以 '{qualifier}' 开头，因此{effect}",
    "{term} leads to {goal}, but {effect}": "{term} 引向 {goal}，但{effect}",
    "forbids what it should allow": "禁止了本应允许的发送",
    "marks as suspicious what it should allow": "将本应允许的发送标为可疑",
    "allows nothing": "不允许任何发送",
    "the SPF record leads back to itself ({circle}), and receivers give up": (
        "SPF 记录循环引用（{circle}），收件方会放弃判定"
    ),
    "receivers cannot read '{text}' in the SPF record of {domain}: {reason}": (
        "收件方无法理解 {domain} 的 SPF 记录中的 '{text}'：{reason}"
    ),
    "{term} leads to a name without SPF record": "{term} 指向没有 SPF 记录的名称",
    "{term} leads to a name without SPF record, and receivers who come to it give up": (
        "{term} 指向没有 SPF 记录的名称，读到那里的收件方会放弃判定"
    ),
    "{problem}, and receivers give up there": "{problem}，收件方在此放弃判定",
    "{problem}, and receivers give up at {name}": "{problem}，收件方到 {name} 处放弃判定",
    "{problem}: only the owner of {domain} can mend that": "{problem}：只有 {domain} 的所有者能够修正",
    "the SPF record needs more than {most} DNS look-ups": "SPF 记录需要超过 {most} 次 DNS 查询",
    "more than {most} of the names in the SPF record do not exist": "SPF 记录中有超过 {most} 个名称不存在",
    "{name} has {count} MX records, and SPF allows {most}": "{name} 有 {count} 条 MX 记录，而 SPF 最多允许 {most} 条",
    "DNS took more than {count} seconds for the SPF record of {domain} and what it leads to": (
        "DNS 查询 {domain} 的 SPF 记录及其引用的内容超过了 {count} 秒"
    ),
    "the SPF record needs {count} DNS look-ups, and receivers make no more than {most}": (
        "SPF 记录需要 {count} 次 DNS 查询，而收件方最多查询 {most} 次"
    ),
    "the record to publish needs {count} DNS look-ups, and receivers make no more than {most}: who stands last in it "
    "has to be named by addresses (ip4:, ip6:)": (
        "要发布的记录需要 {count} 次 DNS 查询，而收件方最多查询 {most} 次：排在最后的须改用地址（ip4:、ip6:）"
    ),
    "the record to publish is without {some}: what of it is needed has to be mended and put in": (
        "要发布的记录中没有 {some}：其中需要的请修正后加入"
    ),
    "'{text}' allows anybody to send as the domain": "'{text}' 允许任何人以该域名发送",
    "the SPF record has {count} octets, and some receivers cannot take more than {most}": (
        "SPF 记录长 {count} 字节，而有些收件方最多只能处理 {most} 字节"
    ),
    "receivers ignore '{text}', because it stands after '{end}'": "收件方忽略 '{text}'，因为它在 '{end}' 之后",
    "'ptr' in the SPF record is slow and unreliable, and should be replaced": (
        "SPF 记录中的 'ptr' 既慢又不可靠，应当替换"
    ),
    "{words} are read as one word: a space is missing between the strings of the SPF record": (
        "{words} 会被读作一个词：SPF 记录的各段字符串之间缺少空格"
    ),
    "'{left}' and '{right}'": "'{left}' 和 '{right}'",
    "{record} ({count} of {most} look-ups)": "{record}（{most} 次查询中用了 {count} 次）",
    "{record} ({count} or more of {most} look-ups)": "{record}（{most} 次查询中至少用了 {count} 次）",
}

_SPF_TERMS: Mapping[str, str] = {
    "the record is longer than {most} octets": "记录超过 {most} 字节",
    "{name}= may be there only once": "{name}= 只能出现一次",
    "it holds characters that are not plain ASCII": "含有非 ASCII 字符",
    "it is not plain ASCII": "含有非 ASCII 字符",
    "there is nothing of the kind": "没有这种写法",
    "nothing may follow 'all'": "'all' 之后不能有内容",
    "write {right} instead of {wrong}": "应写作 {right}，而不是 {wrong}",
    "there is no mechanism '{name}'": "没有 '{name}' 这种机制",
    "a ':' and a domain name must follow": "之后必须是 ':' 和域名",
    "{address} is an IP address: write {right}": "{address} 是 IP 地址：应写作 {right}",
    "an IPv{version} address or network must follow {name}:": "{name}: 之后必须是 IPv{version} 地址或网段",
    "the prefix length {length} is more than the {bits} bits of an address": "前缀长度 {length} 超过了地址的 {bits} 位",
    "a domain name is missing": "缺少域名",
    "the domain name is not a full one": "域名不完整",
    "a % must be written %%, unless it begins a macro": "除非是宏的开头，% 必须写作 %%",
    "there is no macro {macro} here": "这里没有 {macro} 这个宏",
    "{macro} takes no part of a name": "{macro} 没有取名称的任何部分",
}

_MX: Mapping[str, str] = {
    "there is no {domain} in DNS at all: it is misspelt, or nothing has been published for it yet": (
        "DNS 中根本没有 {domain}：可能拼写有误，或尚未发布任何记录"
    ),
    "{domain} has no MX record": "{domain} 没有 MX 记录",
    'the MX record of {domain} is "0 .", which says that it takes no mail: receivers refuse what it sends': (
        '{domain} 的 MX 记录是 "0 ."，表示它不接收邮件：收件方会拒收它发出的邮件'
    ),
    "{domain} is an alias (CNAME) of {canonical}, {problem}; an alias can have no records of its own, so let addresses "
    "(A, AAAA) take its place first": (
        "{domain} 是 {canonical} 的别名（CNAME），{problem}；别名不能有自己的记录，请先改用地址记录（A、AAAA）"
    ),
    "which has no MX record": "后者没有 MX 记录",
    "whose MX records do not name {mx}": "后者的 MX 记录中没有 {mx}",
    "mail to {domain} goes to the domain's own address now, and will go to {mx}: {record} keeps it there": (
        "发往 {domain} 的邮件目前送到该域名自己的地址，今后将送到 {mx}：发布 {record} 可保持不变"
    ),
    "{domain} is an alias (CNAME) of {canonical}: whoever owns that decides its MX": (
        "{domain} 是 {canonical} 的别名（CNAME）：其 MX 由后者的所有者决定"
    ),
    "bounces go first to {hosts}, whose number is lower than that of {mx}": (
        "退信会先送到 {hosts}，其优先级数值低于 {mx}"
    ),
    "bounces go to {hosts} as often as to {mx}: the numbers are the same": (
        "退信送到 {hosts} 和送到 {mx} 的机会相同：优先级数值相同"
    ),
    'the MX record "0 ." says that {domain} takes no mail, and the others contradict it: remove it': (
        'MX 记录 "0 ." 表示 {domain} 不接收邮件，与其他记录矛盾：请将其删除'
    ),
    "the MX record of {domain} names {host}": "{domain} 的 MX 记录指向 {host}",
    "{problem}: the form has added {suffix} to it; type {mx}. with a dot at its end": (
        "{problem}：填写时被自动加上了 {suffix}；请输入 {mx}. ，以点结尾"
    ),
    "{problem}, which is an alias (CNAME) of {mx}: it has to name {mx} itself": (
        "{problem}，而它是 {mx} 的别名（CNAME）：必须直接指向 {mx}"
    ),
    "{mx} is not among the MX records of {domain}: add it": "{domain} 的 MX 记录中没有 {mx}：请添加",
    "{problem}, and incoming mail still goes where it goes now, to the host with the lowest number": (
        "{problem}；来信仍送到目前的主机，即优先级数值最低的那一台"
    ),
    "{problem}; the numbers of the others have to be lower than {preference} first, or incoming mail goes there too": (
        "{problem}；须先将其他记录的优先级数值改为低于 {preference}，否则来信也会送到那里"
    ),
    "{host} has no address in DNS, so no mail gets there; it may be misspelt": (
        "{host} 在 DNS 中没有地址，邮件无法送达；可能拼写有误"
    ),
}

_DKIM: Mapping[str, str] = {
    "DKIM {selector} (the platform's)": "DKIM {selector}（平台的密钥）",
    "our key": "我方密钥",
    "the platform's key": "平台的密钥",
    "no key of ours signs mail from {domain}: make one with 'smtprelay dkim keygen {name}'": (
        "没有用于签署 {domain} 邮件的我方密钥：请执行 'smtprelay dkim keygen {name}' 生成"
    ),
    "{key} is not published at {name}": "{name} 处没有发布{key}",
    "{problem}: the record to publish is on the platform's page of the domain": (
        "{problem}：应发布的记录见平台上该域名的页面"
    ),
    "{count} TXT records stand at {name}, where only the one of {key} may stand": (
        "{name} 处有 {count} 条 TXT 记录，而那里只能有{key}的记录"
    ),
    "the record at {name} {problem}": "{name} 处的记录{problem}",
    "the key at {name} is another one than {key}": "{name} 处的密钥不是{key}",
    "[domain_rules] platform_dkim {problem}: copy it from the platform's page again": (
        "[domain_rules] platform_dkim {problem}：请从平台页面重新复制"
    ),
    "its key has {bits} bits, and {most} are good practice": "其密钥为 {bits} 位，建议使用 {most} 位",
    "its t=y says that the key is on trial: receivers may treat the mail as unsigned": (
        "其中的 t=y 表示密钥处于试用状态：收件方可能视邮件为未签名"
    ),
    "does not allow SHA-256 (h={value})": "不允许 SHA-256（h={value}）",
    "is not meant for mail (s={value})": "不用于邮件（s={value}）",
    "has no key in it: p= is missing, or the semicolon before it": "中没有密钥：缺少 p= 或其前面的分号",
    "says that its key was revoked (p= is empty)": "表示密钥已被撤销（p= 为空）",
    "has a key that is cut or mistyped (p= is not base64)": "中的密钥不完整或有误（p= 不是 base64）",
    "has a key that is cut or mistyped (p= is no RSA key)": "中的密钥不完整或有误（p= 不是 RSA 密钥）",
    "holds quotation marks or backslashes, which belong in zone files only: publish it without them": (
        "含有引号或反斜杠，它们只应出现在区域文件中：发布时请去掉"
    ),
    "is no DKIM key": "不是 DKIM 密钥",
    "does not begin with its v=DKIM1": "没有以 v=DKIM1 开头",
    "is no list of tags such as k=rsa with semicolons between them ({text})": (
        "不是以分号分隔、形如 k=rsa 的标签列表（{text}）"
    ),
    "has the same tag twice": "中同一标签出现了两次",
    "has an Ed25519 key of {count} octets instead of {right}": "中的 Ed25519 密钥长 {count} 字节，应为 {right} 字节",
    "has a key of a kind that receivers do not know (k={value})": "中的密钥类型不为收件方所知（k={value}）",
    "has a key that is not RSA, although it says so": "中的密钥自称 RSA，实际上不是",
    "has a key of {bits} bits, and receivers ignore fewer than {least}": (
        "中的密钥为 {bits} 位，而收件方忽略少于 {least} 位的密钥"
    ),
}

# Of a signature on a stored message.
_SIGNATURE: Mapping[str, str] = {
    "it has no {tag}=": "签名中没有 {tag}=",
    "it has the same tag twice": "签名中同一标签出现了两次",
    "it is of a kind that is not verified here": "这种签名不在此验证",
    "it is cut or mistyped": "签名不完整或有误",
    "the body is not the one that was signed": "正文与签名时不同",
    "the key at {name} is of another kind": "{name} 处的密钥属于另一种类型",
    "the key does not fit, or the header was changed": "密钥不符，或邮件头已被改动",
}

_DMARC: Mapping[str, str] = {
    "{domain} has no DMARC record, nor has a domain above it: since 2024 the big receivers ask for one of everybody "
    "who sends in bulk": ("{domain} 及其上级域名都没有 DMARC 记录：自 2024 年起，大型收件方要求批量发送者必须有该记录"),
    "{count} DMARC records stand at _dmarc.{domain}, which receivers take for none": (
        "_dmarc.{domain} 处有 {count} 条 DMARC 记录，收件方视为没有"
    ),
    "{problem}: keep one": "{problem}：请只保留一条",
    "what stands at {name} is no DMARC record: it has to begin with v=DMARC1 and a semicolon": (
        "{name} 处的内容不是 DMARC 记录：必须以 v=DMARC1 和分号开头"
    ),
    "the DMARC record at _dmarc.{domain} {problem}": "_dmarc.{domain} 处的 DMARC 记录{problem}",
    "asks for what no receiver knows ({value}): it has to be none, quarantine or reject": (
        "的要求不为任何收件方所知（{value}）：必须是 none、quarantine 或 reject"
    ),
    "the DMARC record at _dmarc.{domain} has no p=: older receivers ignore it": (
        "_dmarc.{domain} 处的 DMARC 记录没有 p=：较旧的收件方会忽略它"
    ),
    "we sign mail from {domain} as {signer}, and its DMARC record wants the very same name (adkim=s)": (
        "我方以 {signer} 签署来自 {domain} 的邮件，而其 DMARC 记录要求名称完全相同（adkim=s）"
    ),
    "we sign mail from {domain} as {signer}, which by DMARC's rules is another organisation": (
        "我方以 {signer} 签署来自 {domain} 的邮件，而按 DMARC 的规则两者属于不同组织"
    ),
    "make a key for it with 'smtprelay dkim keygen {domain}'": "请执行 'smtprelay dkim keygen {domain}' 为其生成密钥",
    "{advice}, because receivers are asked to {asked} what fails": (
        "{advice}，因为收件方被要求对未通过的邮件执行 {asked}"
    ),
    "{record} (at _dmarc.{source}; for {domain}: {asked})": "{record}（位于 _dmarc.{source}；对 {domain}：{asked}）",
}

FINDINGS: Final[Mapping[str, str]] = {
    **_DNS,
    **_RESOLVER,
    **_SPF,
    **_SPF_TERMS,
    **_MX,
    **_DKIM,
    **_SIGNATURE,
    **_DMARC,
}
