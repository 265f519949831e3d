"""What is told to people, in Chinese: the sentence in English → in simplified Chinese.

One term each: smarthost 上游服务器, credential 凭据, account 账户, delivered 已投递, deferred 已推迟, held 已挂起,
release 放行, bounced 已退信, captured 已截留, redirected 已改投, suppressed 已屏蔽, cancelled 已取消,
suspended 已停用, paused 已暂停, ambiguous 结果不明, attempt 尝试, envelope sender 信封发件人, notification 退信通知.
What stands in the log, in the configuration and in a shell stays as it is: phases, reasons, keys, commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from smtprelay.findings_zh import FINDINGS
from smtprelay.platform_zh import PLATFORM
from smtprelay.problems_zh import PROBLEMS
from smtprelay.repairs_zh import REPAIRS
from smtprelay.suppression_zh import CAUSES, WHY

_WORDS: Mapping[str, str] = {
    "{count}d": "{count} 天",
    "{count}h": "{count} 小时",
    "{count}m": "{count} 分",
    "{count}s": "{count} 秒",
}

_STORY: Mapping[str, str] = {
    # Where it came from, and how it leaves.
    "{id}  accepted {at} from account {account}, {client} ({protocol}, {size})": (
        "{id}  于 {at} 接收，来自账户 {account}，客户端 {client}（{protocol}，{size}）"
    ),
    "{id}  accepted {at} from {client} ({protocol}, {size})": "{id}  于 {at} 接收，来自 {client}（{protocol}，{size}）",
    "from <{sender}>, subject: {subject}": "信封发件人 <{sender}>，主题：{subject}",
    "leaves through credential {credential}, {signed}": "经凭据 {credential} 发出，{signed}",
    "stays here, {signed}": "保存在本机，{signed}",
    "not signed": "未签名",
    "signed for {domain} ({keys})": "DKIM 签名域 {domain}（{keys}）",
    "tagged {tags}": "标签：{tags}",
    "not to be sent before {at}, as its app asked": "应用要求在 {at} 之前不发送",
    "a delivery status notification about {id}": "关于邮件 {id} 的投递状态通知",
    "repaired: {repairs}": "已修复：{repairs}",
    "; ": "；",
    "THE SPOOL IS DAMAGED: whether its recipients were refused later cannot be read.": (
        "邮件队列已损坏：无法读取其收件人之后是否被拒收。"
    ),
    "THE SPOOL IS DAMAGED: its attempts cannot be read.": "邮件队列已损坏：无法读取其投递尝试。",
    "CREDENTIAL PAUSED since {at}: {reply}": "凭据自 {at} 起已暂停：{reply}",
    "next log-in {at}.": "下次登录时间：{at}。",
    "SENDER SUSPENDED: {sender}. 'smtprelay account resume' lets it send again.": (
        "发送方已停用：{sender}。执行 'smtprelay account resume' 可恢复其发送。"
    ),
    # How a recipient stands.
    "1 attempt": "1 次尝试",
    "{count} attempts": "{count} 次尝试",
    "waiting after {attempts}, next attempt in {wait}, {at}": "排队中，已有 {attempts}，{wait}后再次尝试（{at}）",
    "waiting after {attempts}, due now": "排队中，已有 {attempts}，即将发送",
    "being sent now, attempt {number}": "正在发送，第 {number} 次尝试",
    "held since {at}: {reason}": "自 {at} 起已挂起：{reason}",
    "bounced ({reason}) {at} after {attempts}; notification: {dsn}": (
        "已退信（{reason}），{at}，共 {attempts}；退信通知：{dsn}"
    ),
    "none": "无",
    "delivered {at} after {attempts}": "已投递，{at}，共 {attempts}",
    "delivered to the platform {at} after {attempts}, {later}": "已投递至平台，{at}，共 {attempts}，{later}",
    "then refused: {cause} (told on {day})": "之后被拒收：{cause}（{day} 告知）",
    "suppressed {at}: {cause}; notification: {dsn}": "已屏蔽，{at}：{cause}；退信通知：{dsn}",
    "cancelled {at} after {attempts}": "已取消，{at}，共 {attempts}",
    "captured {at}: kept here, not sent": "已截留，{at}：保存在本机，未发送",
    # Its attempts.
    "under way": "进行中",
    "{status} at {phase} after {seconds}s": "{status}，阶段 {phase}，历时 {seconds} 秒",
    "delivered": "已投递",
    "deferred": "已推迟",
    "held": "已挂起",
    "bounced": "已退信",
    "suppressed": "已屏蔽",
    "captured": "已截留",
    "ambiguous (it may have been delivered)": "结果不明（可能已经投递）",
    "… {count} more attempts …": "… 另有 {count} 次尝试 …",
    # Who is really mailed.
    "mode = sandbox: nobody is mailed; what would have left is kept here": (
        "mode = sandbox：不向任何人发送邮件，本应发出的邮件保存在本机"
    ),
    "mode = redirect: all mail goes to {to}": "mode = redirect：所有邮件都改投到 {to}",
    "some mail does not go to its recipients: see [[upstream.rules]]": (
        "部分邮件不会发给其收件人：见 [[upstream.rules]]"
    ),
    "{mode}; but [[upstream.rules]] make exceptions": "{mode}；[[upstream.rules]] 中另有例外",
    # What to do.
    "what to do: {advice}": "处理办法：{advice}",
    "Its sender is over its limit. If that is right: 'smtprelay queue release'; if the app runs wild or was broken "
    "into: 'smtprelay account suspend', then 'smtprelay queue cancel'.": (
        "发送方超出了限额。若属正常，请执行 'smtprelay queue release' 放行；若应用失控或被入侵，请先执行 "
        "'smtprelay account suspend'，再执行 'smtprelay queue cancel'。"
    ),
    "It may have been delivered already. Ask the recipient or the provider, then 'smtprelay queue release' to send it "
    "(perhaps again) or 'smtprelay queue cancel'.": (
        "邮件可能已经投递。请先向收件人或服务商确认，再执行 'smtprelay queue release' 发送（可能重复），或执行 "
        "'smtprelay queue cancel' 取消。"
    ),
    "What is on disk is not what was written. Check the disk, restore the spool from a backup if you can; 'smtprelay "
    "queue cancel' gives the message up.": (
        "磁盘上的内容与写入时不一致。请检查磁盘，并尽可能从备份恢复队列；'smtprelay queue cancel' 将放弃该邮件。"
    ),
    "DNS did not tell whether its sender's domain is set up. Once it says yes, this goes on by itself; where it says "
    "no, this is returned, or kept with on_failure = \"hold\". 'smtprelay domain check' shows what DNS says now; "
    "'smtprelay queue release' sends it without that.": (
        "DNS 未能给出发件人域名是否已设置的结论。确认已设置后，邮件将自动发出；确认未设置时，邮件将被退回，"
        "若 on_failure = \"hold\" 则继续挂起。'smtprelay domain check' 显示 DNS 的当前状态；"
        "'smtprelay queue release' 不待结论直接发送。"
    ),
    "Its sender's domain is not set up: publish what 'smtprelay domain check' shows, and it goes on by itself; "
    "'smtprelay queue release' sends it all the same.": (
        "发件人域名尚未设置：请按 'smtprelay domain check' 的提示发布 DNS 记录，邮件随后将自动发出；"
        "'smtprelay queue release' 可直接发送。"
    ),
    "It goes to many, and the provider's quota runs low. Buy more there, and it goes on by itself; 'smtprelay "
    "queue release' sends it all the same.": (
        "这是群发邮件，而服务商的剩余配额不足。向服务商增购配额后，邮件将自动发出；"
        "'smtprelay queue release' 可直接发送。"
    ),
    "Its account was suspended: once it may send again ('smtprelay account resume'), 'smtprelay queue release' or "
    "'cancel'.": (
        "其账户曾被停用：待账户恢复后（'smtprelay account resume'），请执行 'smtprelay queue release' 放行，"
        "或执行 'cancel' 取消。"
    ),
    "Somebody held it: 'smtprelay queue release' or 'smtprelay queue cancel'.": (
        "由人工挂起：请执行 'smtprelay queue release' 放行，或执行 'smtprelay queue cancel' 取消。"
    ),
    "If it may be sent to again: 'smtprelay suppress remove {address}', and have the app send again.": (
        "若可以再次向该地址发送，请执行 'smtprelay suppress remove {address}'，然后由应用重新发送。"
    ),
    "It did not arrive: correct the address where the app took it from, or leave it out.": (
        "邮件未能送达：请在应用的数据来源处更正该地址，或将其去除。"
    ),
    "It did not arrive: its reader wants no such mail. Leave the address out.": (
        "邮件未能送达：收件人不愿接收此类邮件，请将该地址去除。"
    ),
    "It did not arrive: ask for another address, or send again later.": (
        "邮件未能送达：请使用其他地址，或稍后重新发送。"
    ),
    "It did not arrive: look at what was sent, and ask the provider before more of it goes.": (
        "邮件未能送达：请检查所发内容，并在继续发送前咨询服务商。"
    ),
    "The provider refuses the account, not this message: its quota, its rate, or that it sends at all. 'smtprelay "
    "check' shows how it stands; ask the provider.": (
        "服务商拒绝的是账户而非这封邮件：群发量、发送频率，或账户是否可以发送。"
        "'smtprelay check' 显示账户状况；请咨询服务商。"
    ),
    "The smarthost could not be reached: check the network, [upstream] host and port (many clouds block port 25; try "
    "2525 or 465).": (
        "无法连接上游服务器：请检查网络以及 [upstream] 的 host 和 port"
        "（许多云服务商封禁 25 端口，可改用 2525 或 465）。"
    ),
    "The smarthost answers the connection but does not greet: ask the provider, or try another port.": (
        "上游服务器接受了连接但未发送问候：请咨询服务商，或改用其他端口。"
    ),
    "TLS with the smarthost failed: check [upstream] tls and tls_ca_file.": (
        "与上游服务器的 TLS 协商失败：请检查 [upstream] 的 tls 和 tls_ca_file。"
    ),
    "The smarthost does not like the relay's name: check [gateway] hostname.": (
        "上游服务器不接受本中继的主机名：请检查 [gateway] 的 hostname。"
    ),
    "The smarthost refuses the log-in: check username and password of the credential ('smtprelay check').": (
        "上游服务器拒绝登录：请检查该凭据的用户名和密码（'smtprelay check'）。"
    ),
    "It was held until DNS answered, and its sender's domain may not send: do what the reply says, and have the app "
    "send again.": "邮件曾挂起等待 DNS 答复，而其发件人域名不得发送：请按答复中的说明处理，然后由应用重新发送。",
    "The address is wrong or does not exist: correct it where the app took it from.": (
        "地址有误或不存在：请在应用的数据来源处更正。"
    ),
    "The recipient's mailbox is full: ask for another address, or send again later.": (
        "收件人的邮箱已满：请使用其他地址，或稍后重新发送。"
    ),
    "The message is too big for the provider: send a link instead of the attachment.": (
        "邮件超过服务商的大小限制：请用链接代替附件。"
    ),
    "The provider takes no addresses with non-ASCII characters before the @.": (
        "服务商不支持 @ 之前含有非 ASCII 字符的地址。"
    ),
    "The provider refuses it by its policy: check the sender's domain (SPF, MX, DKIM) and the content.": (
        "服务商按其策略拒收：请检查发件人域名（SPF、MX、DKIM）以及邮件内容。"
    ),
    "Nothing: it is tried again by itself; 'smtprelay queue retry' makes that now.": (
        "无需处理：系统会自动重试；'smtprelay queue retry' 可立即重试。"
    ),
    "The smarthost's words above say why; mend that and have the app send again.": (
        "原因见上方上游服务器的答复；请解决后由应用重新发送。"
    ),
}

CHINESE: Final[Mapping[str, str]] = {**_WORDS, **_STORY, **PROBLEMS, **CAUSES}
RETOLD: Final[Mapping[str, str]] = {**FINDINGS, **REPAIRS, **WHY, **PLATFORM}
