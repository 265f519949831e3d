"""The Chinese of what repair tells of a message; `smtprelay.retelling` says how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REPAIRS: Final[Mapping[str, str]] = {
    # Where: the place goes before everything else.
    "part {path}: {clause}": "第 {path} 部分：{clause}",
    "body: {clause}": "正文：{clause}",
    "{name}: {clause}": "{name}：{clause}",
    "{clause}, {others}": "{clause}，{others}",
    "and {count} more": "另有 {count} 项",
    # The header.
    "added {name}": "已添加 {name}",
    "added Reply-To with the old From": "已添加 Reply-To，其中为原来的 From",
    "removed {name}": "已删除 {name}",
    "removed empty {name}": "已删除空的 {name}",
    "{count} fields merged into one": "{count} 个字段已合并为一个",
    "first of {count} fields kept": "{count} 个字段中保留第一个",
    "held no address, {author} put in": "其中没有地址，已填入 {author}",
    "what is no address removed": "已删除不是地址的内容",
    "rewritten to {username}": "已改写为 {username}",
    "angle brackets added": "已添加尖括号",
    "control characters removed": "已删除控制字符",
    "white space before the colon removed": "已删除冒号前的空白",
    "blank line within the field removed": "已删除字段中的空行",
    "blank line put between header and body": "已在邮件头与正文之间加入空行",
    "what stood above the header removed (mbox line, folded line or byte order mark)": (
        "已删除邮件头之上的内容（mbox 行、折行或字节顺序标记）"
    ),
    "unbalanced quote or parenthesis removed": "已删除不成对的引号或括号",
    "';' between addresses replaced by ','": "地址之间的 ';' 已替换为 ','",
    "empty address removed": "已删除空地址",
    "address put into form": "已规范地址格式",
    "over-long line folded": "过长的行已折行",
    "over-long word encoded (RFC 2047)": "过长的单词已编码（RFC 2047）",
    "removed: raw 8-bit text means nothing there": "已删除：未编码的 8 位文本在此处没有意义",
    "ids with raw 8-bit text removed": "已删除含有未编码 8 位文本的标识",
    "raw 8-bit text percent-encoded": "未编码的 8 位文本已作百分号编码",
    "raw 8-bit octets replaced by '?'": "未编码的 8 位字节已替换为 '?'",
    "raw 8-bit text encoded (RFC 2231)": "未编码的 8 位文本已编码（RFC 2231）",
    "raw {charset} text encoded (RFC 2047)": "未编码的 {charset} 文本已编码（RFC 2047）",
    # The body.
    "line ends made <CRLF>": "行尾已统一为 <CRLF>",
    "lines that begin with a single dot kept as they came": "以单个点开头的行保持原样",
    "rendered from template {template}": "由模板 {template} 生成",
    "text before the first part": "第一部分之前的文本",
    "text after the last part": "最后一部分之后的文本",
    "{what} removed: it was not 7-bit": "已删除{what}：它不是 7 位的",
    "Content-Transfer-Encoding set to 7bit": "Content-Transfer-Encoding 已设为 7bit",
    "multipart without its boundary, sent as text/plain": "multipart 缺少分隔符，已作为 text/plain 发出",
    "signed, so left as it is although it is not 7-bit": "已签名，因此虽不是 7 位，仍保持原样",
    "charset {charset} declared": "已声明字符集 {charset}",
    "{encoding} put into 7-bit lines": "{encoding} 已整理为 7 位的行",
    "{what} encoded as {encoding}": "{what}已编码为 {encoding}",
    "8-bit text": "8 位文本",
    "8-bit data": "8 位数据",
    "text with over-long lines or NUL": "含有过长的行或 NUL 的文本",
    "data with over-long lines or NUL": "含有过长的行或 NUL 的数据",
}
