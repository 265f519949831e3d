"""The Chinese of `smtprelay.problems`; `smtprelay.words_zh` says how terms are translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROBLEMS: Final[Mapping[str, str]] = {
    "Check the network and the firewall, and ask the provider; 'smtprelay check' tries it. What waits goes by its "
    "schedule once the smarthost answers; 'smtprelay queue retry --all' sends it at once.": (
        "请检查网络和防火墙，并咨询服务商；'smtprelay check' 可尝试连接。上游服务器恢复后，等待的邮件将按计划自动发出；"
        "'smtprelay queue retry --all' 可立即发送。"
    ),
    "No connection to the smarthost succeeds since {since}: {words}. Mail is accepted and waits.": (
        "自 {since} 起无法与上游服务器建立连接：{words}。邮件照常接收，并在队列中等待。"
    ),
    "No connection to one of the smarthosts succeeds since {since}: {words}. Mail leaves by another.": (
        "自 {since} 起无法与其中一台上游服务器建立连接：{words}。邮件经其他上游服务器发出。"
    ),
    "Check [upstream] tls and tls_ca_file. Where the smarthost's certificate has expired, tell the provider; until "
    "they renew it, tls = \"opportunistic\" does not look at it ('systemctl reload smtprelay').": (
        "请检查 [upstream] 的 tls 和 tls_ca_file。若上游服务器的证书已过期，请通知服务商；在其更新之前，"
        "可设 tls = \"opportunistic\" 不验证证书（'systemctl reload smtprelay'）。"
    ),
    "Check [gateway] hostname: the smarthost must take it at EHLO.": (
        "请检查 [gateway] 的 hostname：上游服务器必须在 EHLO 时接受它。"
    ),
    "The smarthost refuses the log-in of credential {name} since {since}: {words}. Its mail is accepted and waits.": (
        "自 {since} 起上游服务器拒绝凭据 {name} 登录：{words}。经该凭据发送的邮件照常接收，并在队列中等待。"
    ),
    "Check username and password of this credential ('smtprelay check' tries the log-in), then 'systemctl reload "
    "smtprelay'. Otherwise the next log-in is tried {next}.": (
        "请检查该凭据的用户名和密码（'smtprelay check' 可尝试登录），然后执行 'systemctl reload smtprelay'。"
        "否则下次将于 {next} 尝试登录。"
    ),
    "Recipients that wait for credential {name}, which is not configured any more: {count}.": (
        "{count} 个收件人在等待凭据 {name}，但配置中已没有该凭据。"
    ),
    "Give one of [[upstream.credentials]] this name, then 'systemctl reload smtprelay'; or end them with "
    "'smtprelay queue cancel'.": (
        "请在 [[upstream.credentials]] 中为某个凭据取此名称，然后执行 'systemctl reload smtprelay'；"
        "或执行 'smtprelay queue cancel' 取消这些邮件。"
    ),
    "The spool cannot be written since {since}: {words}": ("自 {since} 起无法写入邮件队列：{words}"),
    "Mend that: mail is accepted again by itself. Until then apps are told 452 or 451, and many drop their mail.": (
        "请解决此问题：之后将自动恢复接收。在此之前，应用会收到 452 或 451，许多应用会因此丢弃邮件。"
    ),
    "The spool is damaged: messages that wait and can be neither read nor held: {count}. All others go.": (
        "邮件队列已损坏：有 {count} 封等待中的邮件既无法读取也无法挂起。其他邮件照常发送。"
    ),
    "Stop the daemon, then 'sqlite3 {path} .recover | sqlite3 recovered.db' with the sqlite3 of sqlite.org (Debian "
    "12's makes an empty file), and put that in the spool's place; "
    "the log names the messages.": (
        "请停止守护进程，用 sqlite.org 的 sqlite3（Debian 12 自带的只会生成空文件）"
        "执行 'sqlite3 {path} .recover | sqlite3 recovered.db'，再以其结果替换原队列文件；"
        "日志中列有这些邮件。"
    ),
    "Some of the suppressed addresses cannot be looked up since {since}, and are sent to: {words}": (
        "自 {since} 起无法查询部分已屏蔽的地址，发往这些地址的邮件照常发送：{words}"
    ),
    "Mend that, then 'systemctl restart smtprelay'. Mail goes on meanwhile.": (
        "请解决此问题，然后执行 'systemctl restart smtprelay'。在此期间邮件照常收发。"
    ),
    "{free} are free on the disk of {path}, less than [spool] min_free ({floor}): mail is refused with 452.": (
        "{path} 所在磁盘仅剩 {free} 可用空间，低于 [spool] min_free（{floor}）：邮件被以 452 拒收。"
    ),
    "Free some space there, or lower [spool] min_free; mail is accepted again by itself. Many apps drop what is "
    "refused: have them send again.": (
        "请在该磁盘上释放空间，或调低 [spool] min_free；之后将自动恢复接收。许多应用会丢弃被拒收的邮件："
        "请让它们重新发送。"
    ),
    "it has not answered for a day": "一天以来没有答复",
    "DNS does not tell how {domains} stands: {problem}. Mail in its name is accepted and held.": (
        "DNS 未能给出 {domains} 的状态：{problem}。以其名义发送的邮件照常接收，但会挂起。"
    ),
    "Check the name servers, [domain_rules] nameservers or /etc/resolv.conf: 'smtprelay domain check {domain}' "
    "asks them. What is held goes by itself once DNS answers.": (
        "请检查域名服务器，即 [domain_rules] nameservers 或 /etc/resolv.conf："
        "'smtprelay domain check {domain}' 可向其查询。DNS 恢复答复后，挂起的邮件将自动发出。"
    ),
    "DNS does not tell how {domains} stands: {problem}. Mail in its name is sent without that.": (
        "DNS 未能给出 {domains} 的状态：{problem}。以其名义发送的邮件不待结论直接发出。"
    ),
    "Check the name servers: 'smtprelay domain check {domain}' asks them.": (
        "请检查域名服务器：'smtprelay domain check {domain}' 可向其查询。"
    ),
    "DNS does not answer for {domains}. What it said before counts, for a day at most.": (
        "DNS 没有对 {domains} 作出答复。以先前的答复为准，最长一天。"
    ),
    "Publish what 'smtprelay domain check {domain}' shows: it counts as soon as DNS has it.": (
        "请发布 'smtprelay domain check {domain}' 所示的 DNS 记录：在 DNS 中生效后即被采用。"
    ),
    "{domain} is not set up: {problem}. Its mail is refused (550).": (
        "{domain} 尚未设置：{problem}。其邮件被拒收（550）。"
    ),
    "{domain} is not set up: {problem}. Its mail is held.": ("{domain} 尚未设置：{problem}。其邮件已挂起。"),
    "{domain} is not set up: {problem}. Its mail is sent all the same, and may be lost.": (
        "{domain} 尚未设置：{problem}。其邮件仍会发出，但可能丢失。"
    ),
    "Put a new one there, and its key, then 'systemctl reload smtprelay'.": (
        "请在该处放置新证书及其私钥，然后执行 'systemctl reload smtprelay'。"
    ),
    "A newer one is there: 'systemctl reload smtprelay' puts it to use.": (
        "该处已有新证书：执行 'systemctl reload smtprelay' 即可启用。"
    ),
    "The certificate of {section}, {path}, has expired ({at}): who verifies it does not connect.": (
        "{section} 的证书 {path} 已过期（{at}）：验证证书的客户端不会建立连接。"
    ),
    "The certificate of {section}, {path}, expires in {left} ({at}).": (
        "{section} 的证书 {path} 将在 {left} 后过期（{at}）。"
    ),
    "Recipients that are held and wait for a person: {count} ({reasons}).": (
        "{count} 个收件人已挂起（{reasons}），等待人工处理。"
    ),
    "'smtprelay queue list --state held' shows them and 'smtprelay queue why ID' what each waits for; then "
    "'smtprelay queue release' or 'smtprelay queue cancel'.": (
        "'smtprelay queue list --state held' 可列出它们，"
        "'smtprelay queue why ID' 说明各自的原因；然后执行 'smtprelay queue release' 放行，"
        "或执行 'smtprelay queue cancel' 取消。"
    ),
    "'smtprelay queue list --state queued' shows what waits, and 'smtprelay queue why ID' why.": (
        "'smtprelay queue list --state queued' 可列出等待的邮件，'smtprelay queue why ID' 说明原因。"
    ),
    "The oldest message in the queue has waited for {age}.": ("队列中最早的邮件已等待 {age}。"),
    "Nothing was delivered in the last ten minutes, while {count} attempts were deferred.": (
        "最近十分钟没有任何邮件投递成功，而有 {count} 次尝试已推迟。"
    ),
    "The new configuration is refused, and the old one stays: {words}.": ("新的配置被拒绝，仍使用原有配置：{words}。"),
    "Mend what it says ('smtprelay check' shows all of it), then 'systemctl reload smtprelay'.": (
        "请按提示修正（'smtprelay check' 可显示全部问题），然后执行 'systemctl reload smtprelay'。"
    ),
    "The webhook {name} takes no events since {since}: {words}. They wait for it, three days at most.": (
        "自 {since} 起 webhook {name} 不接收事件：{words}。事件会为其保留，最长三天。"
    ),
    "Check the address and who answers there; the events are told by themselves once it does.": (
        "请检查该地址及其服务；恢复后事件将自动送达。"
    ),
    "The webhook {name} takes no events since {since}: {words}. It is told nothing until the next start or reload; "
    "they wait for that, three days at most.": (
        "自 {since} 起 webhook {name} 不接收事件：{words}。在下次启动或重新载入配置之前，不再向其发送任何内容；"
        "事件会为其保留，最长三天。"
    ),
    "Where that is meant, take it out of [[webhooks]]; else see to it that it takes events again. Then 'systemctl "
    "reload smtprelay'.": (
        "若确已停用，请将其从 [[webhooks]] 中删除；否则请使其恢复接收。然后执行 'systemctl reload smtprelay'。"
    ),
    "The quota of {name} runs low: {available} recipients are left, and {reserve} of them are in reserve. Bulk mail "
    "beyond that is held; other mail goes on.": (
        "{name} 的群发余量不足：剩余 {available} 个收件人，其中 {reserve} 个为保留量。"
        "超出部分的群发邮件已挂起；其他邮件照常发送。"
    ),
    "Buy more from the provider: what is held goes by itself, in its order, once the platform has it.": (
        "请向服务商购买群发量：到账后，挂起的邮件将按原有顺序自动发出。"
    ),
    "The quota of {name} is used up: the platform takes no more mail. All of it is accepted and waits.": (
        "{name} 的群发余量已用完：平台不再接收邮件。邮件照常接收，并在队列中等待。"
    ),
    "Buy more from the provider: what waits goes by itself once the platform has it.": (
        "请向服务商购买群发量：到账后，等待的邮件将自动发出。"
    ),
    "The platform has disabled the service of {name}: it takes no mail. It is accepted and waits.": (
        "平台已禁用 {name} 的群发服务：不接收邮件。邮件照常接收，并在队列中等待。"
    ),
    "Ask the provider why. What waits goes by its schedule once the service is enabled.": (
        "请咨询服务商。服务启用后，等待的邮件将按计划发出。"
    ),
    "The service of {name} at the platform ended on {day}: it takes no mail. It is accepted and waits.": (
        "{name} 在平台的服务已于 {day} 到期：不接收邮件。邮件照常接收，并在队列中等待。"
    ),
    "Renew it with the provider. What waits goes by its schedule then.": (
        "请向服务商续费。之后等待的邮件将按计划发出。"
    ),
    "The service of {name} at the platform ends in {left} (on {day}).": (
        "{name} 在平台的服务将在 {left} 后到期（{day}）。"
    ),
    "Renew it with the provider before that.": "请在此之前向服务商续费。",
    "The platform's HTTP API does not tell what it is asked for {name} since {since}: {problem}. Mail goes on; "
    "what was known counts.": (
        "自 {since} 起平台的 HTTP 接口未能答复 {name} 的查询：{problem}。邮件照常发送；以先前所知为准。"
    ),
    "Check the network, the firewall and base_url of this account; 'smtprelay check' tries it.": (
        "请检查网络、防火墙和该账户的 base_url；'smtprelay check' 可尝试连接。"
    ),
    "The platform's HTTP API refuses the log-in of {name} since {since}: {problem}. Mail goes on, but nobody "
    "learns what fails later.": (
        "自 {since} 起平台的 HTTP 接口拒绝 {name} 登录：{problem}。邮件照常发送，但无法得知之后的投递失败。"
    ),
    "Check username and password of this account ('smtprelay check' tries the log-in), then 'systemctl reload "
    "smtprelay'.": (
        "请检查该账户的用户名和密码（'smtprelay check' 可尝试登录），然后执行 'systemctl reload smtprelay'。"
    ),
    "The platform judged mail of {name} as spam and did not send it (recipients since {since}: {count}). The domain's "
    "reputation suffers.": (
        "自 {since} 起，平台将 {name} 发往 {count} 个收件人的邮件判为垃圾邮件而未发送。这会损害域名信誉。"
    ),
    "'smtprelay suppress list --cause 5' shows to whom, and 'smtprelay queue why ID' tells it of a message. Look at "
    "what was sent and to whom, and ask the provider before more of it goes.": (
        "'smtprelay suppress list --cause 5' 可列出这些收件人；'smtprelay queue why ID' 说明某封邮件的情况。"
        "请检查所发内容和对象，并在继续发送之前咨询服务商。"
    ),
    "The relay starts or stops, and takes no mail.": ("本中继正在启动或停止，暂不接收邮件。"),
    "Wait; the log says what it does.": ("请稍候；日志中有其当前动作。"),
}
