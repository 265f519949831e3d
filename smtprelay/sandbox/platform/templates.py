"""Chapter 5, but for 5.1: templates, their check, and what is attached to them."""

from __future__ import annotations

from collections.abc import Sequence

from smtprelay.sandbox.platform.forms import CData, Node, Refused, leaf, listing, record, result
from smtprelay.sandbox.platform.records import Template
from smtprelay.sandbox.platform.request import Request, Upload, need, number
from smtprelay.sandbox.platform.state import State


def add(state: State, request: Request) -> Node:
    """5.2"""
    name, subject, content = (need(request.post(field)) for field in ("name", "subject", "content"))
    at = state.now()
    new = Template(state.new_id(), name, _subjects(state, subject), content, at, at, state.lag)
    new.text_content = request.post("text_content")
    new.encoding = request.post("encoding", new.encoding)
    _attach(state, new, request.files)
    state.templates[new.id] = new
    return result("success", new.id)


def status(state: State, request: Request) -> Node:
    """5.3"""
    one = _find(state, request.get("tpl_id"))
    answer = _status(one)
    one.lag = max(one.lag - 1, 0)
    return answer


def _status(one: Template) -> Node:
    checked = one.lag == 0
    size = len(one.content.encode()) + sum(len(content) for _, content in one.attachments.values())
    return record(
        "template",
        id=one.id,
        name=one.name,
        status=int(one.is_usable) if checked else -1,
        colour=one.colour if checked else "",
        update_date=one.updated,
        size_status=1 if checked else -1,
        size=-(-size // 1024),
        subject="|".join(one.subjects.values()),
    )


def templates(state: State, request: Request) -> Node:
    """5.4"""
    found = state.templates.values() if "tpl_id" not in request.query else [_find(state, request.get("tpl_id"))]
    return listing("template_list", [_template(state, one) for one in found])


def _template(state: State, one: Template) -> Node:
    attachments = [record("attachment", atta_id=id_, atta_name=name) for id_, (name, _) in one.attachments.items()]
    return record("template", id=one.id, user_id=state.customer.id, name=CData(one.name)).with_nodes(
        *(record("subject", id=id_, name=CData(subject)) for id_, subject in one.subjects.items()),
        leaf("content", CData(one.content)),
        leaf("content_type", "html"),
        listing("attachments", attachments),
        leaf("created", one.created),
        leaf("updated", one.updated),
    )


def delete(state: State, request: Request) -> Node:
    """5.5"""
    del state.templates[_find(state, request.get("tpl_id")).id]
    return result("success", "删除模板成功")


def edit(state: State, request: Request) -> Node:
    """5.6; what was changed is checked anew."""
    one = _find(state, request.either("tpl_id"))
    name, subject, content = (request.either(field) for field in ("name", "subject", "content"))
    need(name or subject or content)
    one.name, one.content = name or one.name, content or one.content
    if subject:
        one.subjects = _subjects(state, subject)
    one.text_content = request.either("text_content", one.text_content)
    one.encoding = request.either("encoding", one.encoding)
    one.updated, one.lag = state.now(), state.lag
    return result("success", "修改模板成功")


def attach(state: State, request: Request) -> Node:
    """5.7"""
    one = _find(state, request.either("tpl_id"))
    ids = _attach(state, one, request.files)
    if not ids:
        raise Refused("error", "没有上传文件")
    return result("success", ",".join(map(str, ids)))


def detach(state: State, request: Request) -> Node:
    """5.8"""
    one = _find(state, request.either("tpl_id"))
    which = request.either("attachment_id", "all")
    if which == "all":
        one.attachments.clear()
    elif one.attachments.pop(number(which), None) is None:
        raise Refused("not_exist", "附件不存在")
    return result("success", "删除附件成功")


def _find(state: State, id_: str) -> Template:
    found = state.templates.get(number(id_))
    if found is None:
        raise Refused("not_exist", "模板不存在")
    return found


def _subjects(state: State, text: str) -> dict[int, str]:
    return {state.new_id(): subject for subject in text.split("|")}


def _attach(state: State, one: Template, files: Sequence[Upload]) -> list[int]:
    """:returns: the ids that the files have got."""
    new = {state.new_id(): (file.name, file.content) for file in files if file.field in ("file", "file[]")}
    one.attachments |= new
    return list(new)
