"""Every call of the document: its script, its ``do``, and who answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from smtprelay.sandbox.platform import (
    account,
    addresses,
    contacts,
    domains,
    failures,
    mailboxes,
    statistics,
    tasks,
    templates,
    tracking,
)
from smtprelay.sandbox.platform.forms import Answer
from smtprelay.sandbox.platform.request import Request
from smtprelay.sandbox.platform.state import State

Handler = Callable[[State, Request], Answer]

_BY_SCRIPT: Mapping[str, Mapping[str, Handler]] = {
    "account.php": {"customer-info": account.customer, "service-info": account.service},
    "statistic.php": {"": statistics.the_day},
    "failexport.php": {"": failures.addresses},
    "failexportall.php": {"": failures.everything},
    "stask.php": {"": statistics.batches},
    "deduction.php": {"": statistics.deductions},
    "track.php": {
        "overview": tracking.overview,
        "open-detail": tracking.opens,
        "click-detail": tracking.clicks,
        "link-stat": tracking.link_clicks,
    },
    "trackexport.php": {"": tracking.export},
    "mloperate.php": {
        "maillist-list": contacts.lists,
        "maillist-detail": contacts.one_list,
        "maillist-add": contacts.add_list,
        "maillist-edit": contacts.edit_list,
        "maillist-del": contacts.delete_list,
        "subscription-export": contacts.export,
        "unsubscribe-export": contacts.unsubscribed,
        "ml-addr-list": addresses.addresses,
        "ml-addr-add": addresses.add,
        "ml-addr-add-file": addresses.upload,
        "ml-addr-add-file-query": addresses.upload_state,
        "ml-addr-edit": addresses.edit,
        "ml-addr-del": addresses.delete,
        "ml-addr-empty": addresses.empty,
        "ml-sub": contacts.subscribe,
        "ml-unsub": contacts.unsubscribe,
    },
    "template.php": {
        "add-tpl": templates.add,
        "get-tpl-status": templates.status,
        "list-tpl": templates.templates,
        "del-tpl": templates.delete,
        "edit-tpl": templates.edit,
        "tpl-attachment-add": templates.attach,
        "tpl-attachment-del": templates.detach,
    },
    "task.php": {
        "list-task": statistics.web_tasks,
        "task-list": tasks.tasks,
        "add-task": tasks.add,
        "edit-task": tasks.edit,
        "del-task": tasks.delete,
    },
    "bs.php": {
        "domain-list": domains.domains,
        "customer-domain-add": domains.add,
        "customer-domain-del": domains.delete,
        "domain-check": domains.check,
        "domain-add": domains.add_for,
        "domain-del": domains.delete_for,
        "mailbox-list": mailboxes.mailboxes,
        "mailbox-add": mailboxes.add,
        "mailbox-del": mailboxes.delete,
        "mailbox-edit": mailboxes.set_password,
    },
}
CALLS: Mapping[tuple[str, str], Handler] = MappingProxyType(
    {(script, do): handler for script, actions in _BY_SCRIPT.items() for do, handler in actions.items()}
)
