"""Whether a stored message's signatures hold, with the keys that DNS has, or else with ours."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from smtprelay.domains.txt import text_of
from smtprelay.resolver import Absent, Found
from smtprelay.status import Backstage
from smtprelay.verifier import Signature, signatures
from smtprelay.words import Sentence

PATIENCE = 0.15  # seconds for DNS: the page does not wait for it

_NOT_OURS = Sentence("Made by somebody else before the message came here: it is not verified.")
_HOLDS = Sentence("Holds, with the key that DNS has.")
_NO_ANSWER = Sentence("DNS has not answered yet: load the page again.")
_UNPUBLISHED = Sentence("DNS has no key for it: receivers will not accept it.")
_SEVERAL = Sentence("DNS has several records where one key should be: receivers will not accept it.")
_BROKEN = Sentence("Does not hold.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is told of a signature.

    :param holds: None: it cannot be told.
    :param detail: what is wrong, as a clause; ``""`` for nothing.
    """

    signature: Signature
    holds: bool | None
    sentence: Sentence
    detail: str = ""


async def verdicts(content: bytes, domain: str, backstage: Backstage) -> list[Verdict]:
    """All signatures, from the top.

    :param domain: which we sign for. What others name is not asked of DNS: they could have it ask anything.
    """
    found = await asyncio.to_thread(signatures, content)
    return [await _verdict(signature, domain, backstage) for signature in found]


async def _verdict(signature: Signature, domain: str, backstage: Backstage) -> Verdict:
    if not domain or signature.domain != domain:
        return Verdict(signature, None, _NOT_OURS)
    if signature.problem:
        return Verdict(signature, False, _BROKEN, signature.problem)
    answer = await _answer(signature.record_name, backstage)
    if isinstance(answer, Found) and len(answer.records) == 1:
        problem = signature.verify(text_of(answer.records[0]))
        return Verdict(signature, not problem, _BROKEN if problem else _HOLDS, problem)
    own = {key.record_name: key.record for key in backstage.keyring.signing()}
    if problem := signature.verify(own[signature.record_name]) if signature.record_name in own else "":
        return Verdict(signature, False, _BROKEN, problem)
    if isinstance(answer, Found):
        return Verdict(signature, False, _SEVERAL)
    if isinstance(answer, Absent):
        return Verdict(signature, False, _UNPUBLISHED)
    return Verdict(signature, None, _NO_ANSWER)


async def _answer(name: str, backstage: Backstage) -> object:
    """DNS's answer; None where it takes long. It is there when somebody asks again."""
    looking = asyncio.ensure_future(backstage.resolver.txt(name))
    await asyncio.wait([looking], timeout=PATIENCE)
    return looking.result() if looking.done() else None
