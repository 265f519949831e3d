"""The page's own words in Chinese; the terms are those of `smtprelay.words_zh`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FRAME: Mapping[str, str] = {
    "Skip to the content": "跳到正文",
    "sandbox: nobody is mailed": "沙箱模式：不会真正发信",
    "sandbox, with exceptions: somebody may be mailed": "沙箱模式（有例外）：可能会真正发信",
    "redirect: one address is mailed": "改投模式：只发往一个地址",
    "redirect, with exceptions": "改投模式（有例外）",
    "rules: some mail does not go to its recipients": "投递规则：部分邮件不会发给其收件人",
    "Pages": "页面",
    "Now": "概览",
    "Messages": "邮件",
    "Not sent to": "屏蔽名单",
    "Domains": "域名",
    "Log in": "登录",
    "Log out": "退出登录",
    "There is no such page.": "没有这个页面。",
    "This did not come from a page of yours, or you were logged out. Log in, and try again.": (
        "此请求并非来自您打开的页面，或者您已退出登录。请登录后重试。"
    ),
    "This page failed within smtprelay: the log says how.": "smtprelay 内部出错，无法显示此页面：详情见日志。",
    "That is more than this form takes.": "提交的内容过大。",
    "The form did not come to its end: try again.": "表单未能完整提交：请重试。",
    "That is no form.": "提交的内容不是表单。",
}

_LOG_IN: Mapping[str, str] = {
    "Name": "用户名",
    "Password": "密码",
    "Too many tries: wait {wait}, then try again.": "尝试次数过多：请等待 {wait}后再试。",
    "The name or the password is wrong.": "用户名或密码错误。",
    "Messages, domains and actions need an account, and none is configured yet.": (
        "查看邮件、域名以及执行操作需要账户，而目前尚未配置任何账户。"
    ),
    "Make the hash of a password:": "生成密码的哈希值：",
    "Put the account into config.toml:": "将账户写入 config.toml：",
    "Have the relay read it:": "让中继重新读取配置：",
}

_OVERVIEW: Mapping[str, str] = {
    "What is happening now": "当前状况",
    "The relay does not answer: this is how things were.": "中继没有响应：以下为之前的状况。",
    "Queue": "队列",
    "Mail of the last hour": "最近一小时的邮件",
    "Smarthost": "上游服务器",
    "All is well.": "一切正常。",
    "1 problem.": "有 1 个问题。",
    "{count} problems.": "有 {count} 个问题。",
    "Log in to read what is wrong and what to do.": "登录后可查看问题所在与处理办法。",
    "oldest: {age}": "最早：{age}",
    "held for {reason}: {count}": "因 {reason} 挂起：{count}",
    "last minute": "最近 1 分钟",
    "last 10 minutes": "最近 10 分钟",
    "last hour": "最近 1 小时",
    "Recipients of each minute, and what became of them. The table has the sums.": (
        "每分钟的收件人数及其处理结果。合计见表格。"
    ),
    "How many waited, minute by minute": "每分钟等待的数量",
    "up to {count} a minute": "每分钟最多 {count}",
    "up to {count} waiting": "最多 {count} 个等待中",
    "{count} waiting": "{count} 个等待中",
    "Sandbox: what no rule lets through is kept here and shown.": "沙箱模式：除规则放行的邮件外，一律留存在此供查看。",
    "Redirect: what no rule lets through goes to one address.": "改投模式：除规则放行的邮件外，一律发往同一个地址。",
    "Redirect: what no rule lets through goes to {address}.": "改投模式：除规则放行的邮件外，一律发往 {address}。",
    "Some mail does not go to its recipients: see [[upstream.rules]].": (
        "部分邮件不会发给其收件人：见 [[upstream.rules]]。"
    ),
    "What was captured": "已截留的邮件",
    "paused: {reply}": "已暂停：{reply}",
    "cannot be reached: {smarthosts}": "无法连接：{smarthosts}",
    "Account {name} is suspended.": "账户 {name} 已停用。",
    "Credentials: {count}, of which paused: {paused}": "凭据：{count} 个，其中已暂停：{paused} 个",
}

_MESSAGES: Mapping[str, str] = {
    "Address, subject, tag, id or Message-ID": "地址、主题、标签、编号或 Message-ID",
    "Search": "搜索",
    "Narrow it down": "缩小范围",
    "State": "状态",
    "any": "不限",
    "From or to": "发件人或收件人",
    "Tag": "标签",
    "Account or client": "账户或客户端",
    "Accepted from": "接收时间从",
    "Accepted before": "接收时间早于",
    "Accepted": "接收时间",
    "From": "发件人",
    "To": "收件人",
    "Subject": "主题",
    "(no subject)": "（无主题）",
    "Nothing until {at}. There is more to look through.": "直到 {at} 为止没有找到，还有更早的邮件可查。",
    "No such message.": "没有符合条件的邮件。",
    "More messages": "更多邮件",
    "Newest": "最新",
    "Older": "更早",
    "There is no such state.": "没有这个状态。",
    "That is no time: it is written like 2026-11-24T20:30.": "时间格式不对，应写作 2026-11-24T20:30。",
    "That is too long to be looked for.": "搜索内容过长。",
}

_MESSAGE: Mapping[str, str] = {
    "No such message is known; its history may have been pruned.": "没有这封邮件；其历史记录可能已被清理。",
    "The notification": "查看退信通知",
    "The message that it is about": "所通知的邮件",
    "What can be done": "可执行的操作",
    "Show the mail": "查看邮件内容",
    "Release": "放行",
    "Retry now": "立即重试",
    "Hold": "挂起",
    "Cancel…": "取消…",
    "It will not be delivered, and nobody is told.": "邮件将不会投递，也不会通知任何人。",
    "What is being sent right now may arrive all the same.": "此刻正在发送的仍可能送达。",
    "Cancel it": "确认取消",
    "Due now: {count}": "即将重试：{count}",
    "Held: {count}": "已挂起：{count}",
    "Released: {count}": "已放行：{count}",
    "Cancelled: {count}": "已取消：{count}",
    "Nothing was done: the message has moved on meanwhile.": "未执行任何操作：邮件的状态此间已改变。",
    "What happened": "经过",
    "What to do:": "处理办法：",
    "… and {count} more recipients: 'smtprelay queue why {id}' has them all.": (
        "……另有 {count} 个收件人：'smtprelay queue why {id}' 可列出全部。"
    ),
    "What was repaired": "修复的内容",
    "Verify the signature": "验证签名",
    "It is not signed.": "邮件未签名。",
    "Header": "邮件头",
    "The mail itself is kept until it is delivered or given up; what became of it, until the history is pruned.": (
        "邮件内容保留至投递完成或放弃投递；处理经过保留至历史记录被清理。"
    ),
    "Made by somebody else before the message came here: it is not verified.": "由他人在邮件到达之前所签，此处不验证。",
    "Holds, with the key that DNS has.": "有效，与 DNS 中的公钥相符。",
    "DNS has not answered yet: load the page again.": "DNS 尚未答复：请重新载入页面。",
    "DNS has no key for it: receivers will not accept it.": "DNS 中没有对应的公钥：收件方不会认可此签名。",
    "DNS has several records where one key should be: receivers will not accept it.": (
        "DNS 中应有一个公钥的位置有多条记录：收件方不会认可此签名。"
    ),
    "Does not hold.": "无效。",
}

_MAIL: Mapping[str, str] = {
    "Mail": "邮件内容",
    "Its story": "处理经过",
    "Some of it is too large to be shown: the file has it all.": "部分内容过大，无法显示；保存为文件可得到全部内容。",
    "The mail as HTML, without anything from elsewhere": "邮件的 HTML 内容，不加载任何外部资源",
    "Text": "文本",
    "Attachments": "附件",
    "Source": "源代码",
    "Save as a file": "保存为文件",
}

_SUPPRESSED: Mapping[str, str] = {
    "Address, source or note": "地址、来源或备注",
    "Add an address…": "添加地址…",
    "Address": "地址",
    "Why": "原因",
    "Send to it no more": "不再向其发信",
    "Since": "起始日期",
    "Until": "截止日期",
    "no end": "长期",
    "Take off the list": "移出名单",
    "No such address is on the list.": "名单中没有符合条件的地址。",
    "More addresses": "更多地址",
    "From the first": "从头开始",
    "Next": "下一页",
    "The list": "查看屏蔽名单",
    "{address} is not sent to any more.": "不再向 {address} 发信。",
    "{address} may be sent to again.": "已恢复向 {address} 发信。",
    "{address} is not on the list.": "{address} 不在名单中。",
    "That is no address of the form local@domain.": "地址应写作 local@domain 的形式。",
}

_DOMAINS: Mapping[str, str] = {
    "Required: {rules}. Where one fails: {action}.": "必须通过：{rules}。未通过时：{action}。",
    "Domains are not checked: [domain_rules] on_failure is off.": "不检查域名：[domain_rules] 的 on_failure 为 off。",
    "Ask DNS now": "立即查询 DNS",
    "DNS was asked {at}.": "DNS 查询时间：{at}。",
    "DNS was asked about {domain}.": "已向 DNS 查询 {domain}。",
    "not required": "非必须",
    "{finding}.": "{finding}。",
    "DNS fails now; so it was when DNS last answered.": "DNS 目前无法答复；以上为上次答复的结果。",
    "There is:": "现有记录：",
    "Publish:": "请发布：",
    "In the place of:": "以取代：",
    "Remove:": "请删除：",
    "Keys": "密钥",
    "DNS: {standing}": "DNS：{standing}",
    "its record has to stay until {at}": "其记录须保留至 {at}",
    "No key of its own signs: make one with 'smtprelay dkim keygen {domain}'.": (
        "该域名没有自己的签名密钥：可用 'smtprelay dkim keygen {domain}' 生成。"
    ),
}

_TERMS: Mapping[str, str] = {
    "queued": "排队中",
    "sending": "发送中",
    "cancelled": "已取消",
    "accepted": "已接收",
    "ok": "正常",
    "failed": "未通过",
    "unknown": "未知",
    "advice": "建议",
    "pending": "待发布",
    "active": "使用中",
    "retiring": "退役中",
    "retired": "已退役",
    "published": "已发布",
    "not published": "未发布",
    "another key": "另一个密钥",
    "DNS fails": "DNS 失败",
}

PAGE: Final[Mapping[str, str]] = {
    **_FRAME,
    **_LOG_IN,
    **_OVERVIEW,
    **_MESSAGES,
    **_MESSAGE,
    **_MAIL,
    **_SUPPRESSED,
    **_DOMAINS,
    **_TERMS,
}
