"""Chapter 5, but for 5.1: the mail that campaigns are made of, and whether the platform lets it pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from smtprelay.compose import Attachment
from smtprelay.platform.call import Call, M, Progress, Resource, Upload, call, only_one, parameters
from smtprelay.platform.result import Result, read_result
from smtprelay.platform.template_values import (
    BETWEEN_SUBJECTS,
    Encoding,
    Template,
    TemplateState,
    read_state,
    read_templates,
)

_PATH = "template.php"


class Templates(Resource[M]):
    """The templates. The platform checks each that is new or changed: see `status`."""

    @call
    def add(
        self,
        name: str,
        subject: str | Sequence[str],
        content: str,
        *,
        text_content: str | None = None,
        encoding: Encoding | None = None,
        attachments: Sequence[Path | Attachment] = (),
        progress: Progress | None = None,
    ) -> Call[Result]:
        """5.2: make a template; the result has its id.

        :param subject: one, or several.
        :param content: HTML, with ``{FULLNAME}``, ``{VAR1}`` … where a contact's values go.
        :param text_content: what is shown where HTML cannot be.
        :param progress: is called with the octets of the attachments that went, and all of them.
        :raises ValueError: name, subject or content is empty, or a subject has a ``|``.
        :raises OSError: a file cannot be read.
        """
        if not name or not content:
            raise ValueError(f"the {'content' if name else 'name'} is empty: a template has one")
        form = parameters(
            name=name,
            subject=_joined(subject),
            content=content,
            text_content=text_content,
            encoding=encoding,
        )
        return Call("5.2", _PATH, {"do": "add-tpl"}, read_result, form, _uploads(attachments), progress=progress)

    @call
    def status(self, tpl_id: int) -> Call[TemplateState]:
        """5.3: how far the check of a template is, and what came of it."""
        return Call("5.3", _PATH, parameters(do="get-tpl-status", tpl_id=tpl_id), read_state, repeatable=True)

    @call
    def list(self, tpl_id: int | None = None) -> Call[Sequence[Template]]:
        """5.4: the templates, with their contents.

        :param tpl_id: only this one.
        """
        return Call("5.4", _PATH, parameters(do="list-tpl", tpl_id=tpl_id), read_templates, repeatable=True)

    @call
    def delete(self, tpl_id: int) -> Call[Result]:
        """5.5: delete a template."""
        return Call("5.5", _PATH, parameters(do="del-tpl", tpl_id=tpl_id), read_result)

    @call
    def edit(
        self,
        tpl_id: int,
        *,
        name: str | None = None,
        subject: str | Sequence[str] | None = None,
        content: str | None = None,
        text_content: str | None = None,
        encoding: Encoding | None = None,
    ) -> Call[Result]:
        """5.6: change what is given of a template, which is then checked again.

        :param subject: one, or several.
        :param text_content: what is shown where HTML cannot be.
        :raises ValueError: neither name nor subject nor content is given, or a subject has a ``|``.
        """
        if name is None and subject is None and content is None:
            raise ValueError("give one of `name`, `subject` and `content`, or several")
        form = parameters(
            name=name,
            subject=None if subject is None else _joined(subject),
            content=content,
            text_content=text_content,
            encoding=encoding,
        )
        return Call("5.6", _PATH, parameters(do="edit-tpl", tpl_id=tpl_id), read_result, form, repeatable=True)

    @call
    def attach(self, tpl_id: int, *files: Path | Attachment, progress: Progress | None = None) -> Call[Result]:
        """5.7: attach files to a template.

        :param progress: is called with the octets that went, and all of them.
        :raises ValueError: there is none. :raises OSError: one cannot be read.
        """
        if not files:
            raise ValueError("which files? Give one or more")
        query = parameters(do="tpl-attachment-add", tpl_id=tpl_id)
        return Call("5.7", _PATH, query, read_result, {}, _uploads(files), progress=progress)

    @call
    def detach(self, tpl_id: int, *, attachment_id: int | None = None, all: bool = False) -> Call[Result]:
        """5.8: delete an attachment of a template, or all of them.

        :param attachment_id: as `list` tells it.
        :raises ValueError: it is not said which, or both.
        """
        which = only_one(attachment_id=attachment_id, all="all" if all else None)
        query = parameters(do="tpl-attachment-del", tpl_id=tpl_id, attachment_id=next(iter(which.values())))
        return Call("5.8", _PATH, query, read_result)


def _joined(subject: str | Sequence[str]) -> str:
    """:raises ValueError: there is none, one is empty, or one would become two."""
    subjects = [subject] if isinstance(subject, str) else subject
    for one in subjects:
        if BETWEEN_SUBJECTS in one:
            raise ValueError(f"the subject {one!r} has a '|', which would make two of it")
    if not subjects or not all(subjects):
        raise ValueError("there is no subject, or an empty one: give one or more")
    return BETWEEN_SUBJECTS.join(subjects)


def _uploads(files: Sequence[Path | Attachment]) -> Sequence[Upload]:
    name = "file" if len(files) == 1 else "file[]"
    return [
        Upload(name, file.name, file) if isinstance(file, Path) else Upload(name, file.filename, file.content)
        for file in files
    ]
