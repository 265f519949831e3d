"""The Chinese of why the platform does not tell what it is asked; `smtprelay.retelling` says how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SYSTEM: Final[Mapping[str, str]] = {  # what is said by the system's libraries, and not by us
    "Connection refused": "连接被拒绝",
    "Connection reset by peer": "连接被对方重置",
    "Connection timed out": "连接超时",
    "Network is unreachable": "网络不可达",
    "No route to host": "没有到主机的路由",
    "Name or service not known": "名称或服务未知",
    "Temporary failure in name resolution": "域名解析暂时失败",
}

_NETWORK: Mapping[str, str] = {
    "no answer in time": "未按时应答",
    "the proxy answers {error}": "代理服务器答复 {error}",
    "the connection broke ({kind})": "连接中断（{kind}）",
    "its certificate cannot be verified: {reason}": "其证书无法验证：{reason}",
    "TLS failed: {reason}": "TLS 协商失败：{reason}",
    "there is no TLS at this port": "该端口不支持 TLS",
    "the name cannot be resolved: {reason}": "无法解析该名称：{reason}",
    "the proxy of $HTTPS_PROXY, $HTTP_PROXY, $ALL_PROXY or $NO_PROXY is none that can be used: an address such as "
    "{example} is wanted": (
        "$HTTPS_PROXY、$HTTP_PROXY、$ALL_PROXY 或 $NO_PROXY 指定的代理无法使用：应为 {example} 这样的地址"
    ),
}

_HTTP: Mapping[str, str] = {
    "{username} at {url} is refused (HTTP {status}): look at username and password": (
        "{url} 拒绝 {username} 登录（HTTP {status}）：请检查用户名和密码"
    ),
    "{host} answers HTTP {status}": "{host} 答复 HTTP {status}",
    "{host} answers HTTP {status}: {excerpt}": "{host} 答复 HTTP {status}：{excerpt}",
    "{host} answers HTTP {status} (look at base_url, {url})": "{host} 答复 HTTP {status}（请检查 base_url，{url}）",
    "{host} answers HTTP {status} (look at base_url, {url}): {excerpt}": (
        "{host} 答复 HTTP {status}（请检查 base_url，{url}）：{excerpt}"
    ),
    "{host} answers HTTP {status}, and sends elsewhere, where the password does not go (look at base_url, {url})": (
        "{host} 答复 HTTP {status}，要求转往他处，而密码不会发往那里（请检查 base_url，{url}）"
    ),
    "an answer came packed in a way that was not asked for": "答复使用了未请求的压缩方式",
    "an answer of more than {count} octets came": "答复超过 {count} 字节",
}

_ANSWER: Mapping[str, str] = {
    "{clause}: {excerpt}": "{clause}：{excerpt}",
    "the platform says {status}": "平台答复 {status}",
    "the platform says {status}: {meaning}": "平台答复 {status}：{meaning}",
    "the platform says {status} ({data})": "平台答复 {status}（{data}）",
    "the platform says {status}: {meaning} ({data})": "平台答复 {status}：{meaning}（{data}）",
    "a parameter is wrong": "参数错误",
    "there is nothing with this id": "不存在该编号",
    "a text file was expected, and XML came": "应为文本文件，收到的是 XML",
    "JSON was expected, and something else came": "应为 JSON，收到的是其他内容",
    "XML was expected, and text came": "应为 XML，收到的是文本",
    "addresses were expected, and something else came": "应为地址，收到的是其他内容",
    "a page of HTML came in place of an answer": "收到的不是答复，而是 HTML 页面",
    "the platform does not tell the id of what it made": "平台未告知新建内容的编号",
    "a <result> without a <status> came": "收到的 <result> 中没有 <status>",
    "<{expected}> was expected, and <{name}> came": "应为 <{expected}>，收到的是 <{name}>",
    "text stands in <{name}> where elements were expected": "<{name}> 中应为元素，却是文本",
    "XML with a DTD came, which is not read: it may be a bomb": "收到带有 DTD 的 XML，未予读取：可能是 XML 炸弹",
    "XML with a DTD came, which is not read: it may be a bomb: {excerpt}": (
        "收到带有 DTD 的 XML，未予读取：可能是 XML 炸弹：{excerpt}"
    ),
    "a line of an address was expected, and a longer one came": "每行应为一个地址，收到的行过长",
    "more than {count} rows came": "答复超过 {count} 行",
    "the answer is empty": "答复为空",
    "the answer is no XML": "答复不是 XML",
    "the answer has too many elements": "答复中的元素过多",
    "the answer has too many elements within elements": "答复中的元素嵌套过深",
    "the answer has too long a text in one of its elements": "答复中某个元素的文本过长",
    "the answer breaks off within <{name}>": "答复在 <{name}> 中中断",
    "the answer breaks off within CDATA": "答复在 CDATA 中中断",
    "the answer goes on after </{name}>": "答复在 </{name}> 之后仍有内容",
    "<{name}> should be text": "<{name}> 应为文本",
    "<{name}> should be a number": "<{name}> 应为数字",
    "<{name}> should be a date": "<{name}> 应为日期",
    "a line should be address, tab, name": "每行应为地址、制表符、姓名",
    "a line should be time, tab, address": "每行应为时间、制表符、地址",
}

PLATFORM: Final[Mapping[str, str]] = {**SYSTEM, **_NETWORK, **_HTTP, **_ANSWER}
