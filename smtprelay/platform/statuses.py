"""Every status string of the document, with its meaning."""

from __future__ import annotations

from smtprelay.platform.values import Value


class Status(Value):
    """The ``<status>`` of a ``<result>``."""

    SUCCESS = "success", "done", "成功"
    SUCCESS_AND_CHECK_OK = (
        "success_and_check_ok",
        "the domain was added, and its DNS is right (7.2)",
        "添加成功并域名配置成功",
    )
    ADD_MAILLIST_ERROR = "add_maillist_error", "the contact list could not be added (4.3)", "添加联系人分类时发生错误"
    ADD_DESCRIBE_ERROR = (
        "add_describe_error",
        "the description of the contact list could not be added (4.3)",
        "添加联系人分类描述信息时发生错误",
    )
    UPDATE_MAILLIST_ERROR = (
        "update_maillist_error",
        "the contact list could not be changed (4.4)",
        "修改联系人分类时发生错误",
    )
    UPDATE_DESCRIBE_ERROR = (
        "update_describe_error",
        "the description of the contact list could not be changed (4.4)",
        "修改联系人分类描述信息时发生错误",
    )
    DELETE_ADDRESS_ERROR = (
        "delete_address_error",
        "the addresses of the contact list could not be deleted (4.5)",
        "删除联系人分类出错",
    )
    DELETE_DESCRIBE_ERROR = (
        "delete_describe_error",
        "the description of the contact list could not be deleted (4.5)",
        "删除联系人分类描述信息时发生错误",
    )
    DELETE_MAILLIST_ERROR = "delete_maillist_error", "the contact list could not be deleted (4.5)", "删除联系人分类出错"
    NOT_EXIST = "not_exist", "there is nothing with this id", "不存在 id"
    ERROR = "error", "a parameter is wrong", "参数错误"
    NO_COMPLETE = "no_complete", "the file is still being read (4.9.4)", "正在解析"


DONE = frozenset({Status.SUCCESS, Status.SUCCESS_AND_CHECK_OK})
