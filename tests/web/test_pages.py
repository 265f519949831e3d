"""What the pages say and do."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from smtprelay.domains.verdict import Finding, Status
from smtprelay.health import Smarthosts
from smtprelay.keyring import KeyState
from smtprelay.problems import NOT_SET_UP, SPOOL
from smtprelay.pulse import Point
from smtprelay.resolver import Failed, Found
from smtprelay.scheduler import Pause
from smtprelay.signing import Signer, generate_key, load_key
from smtprelay.spool import Fate, Result, SpoolError, State, Suppression, Waiting
from smtprelay.web import domains, live, sessions
from smtprelay.web.message import AT_ONCE
from smtprelay.web.message import SHOWN as SHOWN_RECIPIENTS
from smtprelay.web.messages import SHOWN
from smtprelay.web.suppressed import SHOWN as SUPPRESSED
from tests.web.asgi import Browser
from tests.web.backstage import HOUR, NOW, Behind, bad_verdict, behind, key
from tests.web.conftest import Page, page_of

EVIL = """"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"""
REFUSED = Result(0, State.BOUNCED, reason="refused", phase="rcpt", reply="550 5.1.1 No such user", dsn="none: null")
LATER = Result(0, State.QUEUED, NOW + HOUR, phase="rcpt", reply="451 4.7.1 Try again later")
KEY = load_key(generate_key("ed25519"), "example.com", "relay1")
MESSAGE = b"From: app@example.com\r\nSubject: Your invoice\r\n\r\nHello\r\n"


def words(html: str) -> str:
    """What a person reads."""
    return " ".join(re.sub(r"<[^>]*>", " ", html.partition("<main")[2]).split())


class TestOverview:
    async def test_what_waits_and_what_went(self, page: Page) -> None:
        at = int(time.time() * 1000)
        page.behind.pulse.last_hour = [
            Point(at - HOUR // 2, 1000, 990, 5, 3, 0, 40, 0),
            Point(at - 1000, 7, 6, 1, 0, 0, 12, 0),
        ]
        page.behind.pulse.now = Waiting(
            {State.QUEUED: 12_345, State.HELD: 2}, {State.QUEUED: at - 90_500}, {}, {"operator": 2}
        )
        text = words((await Browser(page.app).get("/")).text)
        assert "All is well." in text
        assert "12,345 queued oldest: 1m 30s" in text
        assert "held for operator: 2" in text
        assert "last minute last 10 minutes last hour accepted 7 7 1,007 delivered 6 6 996" in text
        assert "deferred 1 1 6 bounced 0 0 3" in text
        assert "captured" not in text
        assert "up to 50 waiting" in text

    async def test_an_hour_without_mail_has_no_scale(self, page: Page) -> None:
        """The fault: it was taken for figures, "1 a minute" and "1 waiting"."""
        page.behind.pulse.last_hour = [Point(NOW, 0, 0, 0, 0, 0, 0, 0)]
        text = words((await Browser(page.app).get("/")).text)
        assert "a minute" not in text
        assert "0 queued" in text

    async def test_what_was_captured_is_among_what_became_of_the_hours_mail(self, tmp_path: Path) -> None:
        """The fault: in a sandbox, 3 were accepted, and of everything else there were 0; and all of it seemed to wait
        for a smarthost that nothing goes to."""
        async with behind(tmp_path, upstream='mode = "sandbox"') as backstage:
            backstage.health.ways = []
            backstage.pulse.last_hour = [Point(int(time.time() * 1000), 3, 0, 0, 0, 3, 0, 0)]
            text = words((await (await page_of(backstage).logged_in()).get("/")).text)
        assert "captured 3 3 3" in text
        assert text.endswith("Smarthost Sandbox: what no rule lets through is kept here and shown. What was captured")

    async def test_who_may_see_it_is_told_where_mail_is_redirected(self, tmp_path: Path) -> None:
        """The fault: it said that there was one address, and not which."""
        async with behind(tmp_path, upstream='mode = "redirect"\nredirect_to = "test@example.com"') as backstage:
            page = page_of(backstage)
            assert "goes to test@example.com." in words((await (await page.logged_in()).get("/")).text)
            assert "test@example.com" not in (await Browser(page.app).get("/")).text

    async def test_what_is_wrong_and_what_to_do(self, page: Page) -> None:
        page.behind.health.wrong = [problem := SPOOL.of(since="noon", words="The disk is full.")]
        text = words((await (await page.logged_in()).get("/")).text)
        assert problem.sentence in text.replace("&#39;", "'")
        assert problem.remedy.partition("'")[0] in text

    async def test_a_paused_credential(self, page: Page) -> None:
        pause = Pause(NOW, NOW + HOUR, HOUR, "535 5.7.8 wrong password")
        page.behind.health.ways = [Smarthosts("news", ("a.example:25",), (), pause)]
        assert "paused: 535 5.7.8 wrong password" in words((await (await page.logged_in()).get("/")).text)
        assert "of which paused: 1" in words((await Browser(page.app).get("/")).text)

    @pytest.mark.parametrize(
        ("unreachable", "dot"),
        [((), "ok"), (("a.example:25",), "advice"), (("a.example:25", "b.example:465"), "failed")],
    )
    async def test_a_smarthost_that_cannot_be_reached(self, page: Page, unreachable: tuple[str, ...], dot: str) -> None:
        """The fault: it was green under the banner that said so, and had no port."""
        page.behind.health.ways = [Smarthosts("news", ("a.example:25", "b.example:465"), unreachable, None)]
        part = (await (await page.logged_in()).get("/")).text.partition('<div id="upstream">')[2]
        assert f'class="dot {dot}"' in part
        assert ("cannot be reached: " + ", ".join(unreachable) in part) == bool(unreachable)
        assert "a.example:25, b.example:465" in part

    async def test_in_chinese(self, page: Page) -> None:
        text = (await Browser(page.app).get("/", accept_language="zh-CN,zh;q=0.9,en;q=0.8")).text
        assert '<html lang="zh-Hans">' in text
        assert "一切正常。" in text
        assert "<h2" in text

    @pytest.mark.parametrize(("mode", "words_"), [("sandbox", "nobody is mailed"), ("redirect", "one address")])
    async def test_a_mode_is_seen_everywhere(self, tmp_path: Path, mode: str, words_: str) -> None:
        upstream = f'mode = "{mode}"\nredirect_to = "{"test@example.com" if mode == "redirect" else ""}"'
        async with behind(tmp_path, upstream=upstream) as backstage:
            for path in ("/", "/login"):
                assert words_ in (await Browser(page_of(backstage).app).get(path)).text

    @pytest.mark.parametrize(
        ("mode", "action", "told"),
        [
            ("sandbox", "deliver", "sandbox, with exceptions"),
            ("redirect", "deliver", "redirect, with exceptions"),
            ("live", "capture", "some mail does not go to its recipients"),
        ],
    )
    async def test_rules_make_exceptions_and_nobody_is_told_otherwise(
        self, tmp_path: Path, mode: str, action: str, told: str
    ) -> None:
        redirect_to = 'redirect_to = "test@example.com"' if mode == "redirect" else ""
        rule = f'[[upstream.rules]]\nrecipient = "*@example.net"\naction = "{action}"'
        async with behind(tmp_path, upstream=f'mode = "{mode}"\n{redirect_to}\n{rule}') as backstage:
            for path in ("/", "/login"):
                text = (await Browser(page_of(backstage).app).get(path)).text
                assert told in text
                assert "nobody is mailed" not in text
                assert "one address is mailed" not in text


class TestLive:
    async def test_what_changes_is_sent_again(self, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(live, "EVERY", 0.01)
        events: list[dict[str, str]] = []
        enough = asyncio.Event()

        def hear(octets: bytes) -> None:
            if octets.startswith(b"data: "):
                events.append(json.loads(octets.removeprefix(b"data: ")))
                page.behind.pulse.now = Waiting({State.QUEUED: 4321})
                if len(events) == 2:
                    enough.set()

        streaming = asyncio.create_task(Browser(page.app).listen("/live", hear))
        async with asyncio.timeout(10):
            await enough.wait()
        streaming.cancel()
        await asyncio.wait([streaming])
        assert events[0].keys() == {"problems", "queue", "traffic", "upstream"}
        assert events[1].keys() == {"queue"}
        assert "4,321" in events[1]["queue"]

    async def test_it_ends_at_log_out_and_says_so(self, page: Page) -> None:
        browser, heard = await page.logged_in(), bytearray()
        streaming = asyncio.create_task(browser.listen("/live", heard.extend))
        while b"data: " not in heard:
            await asyncio.sleep(0.01)
        await browser.act("/logout", "/")
        async with asyncio.timeout(10):
            await streaming
        assert b"event: logout" in heard

    async def test_it_ends_with_its_account_though_nobody_else_asks(self, page: Page) -> None:
        browser, heard = await page.logged_in(), bytearray()
        streaming = asyncio.create_task(browser.listen("/live", heard.extend))
        while b"data: " not in heard:
            await asyncio.sleep(0.01)
        config = page.behind.config
        status = config.status.model_copy(update={"accounts": ()})
        page.behind.config = config.model_copy(update={"status": status})
        async with asyncio.timeout(10):
            await streaming
        assert b"event: logout" in heard

    async def test_it_ends_when_the_session_does(self, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        browser, heard = await page.logged_in(), bytearray()
        streaming = asyncio.create_task(browser.listen("/live", heard.extend))
        while b"data: " not in heard:
            await asyncio.sleep(0.01)
        monkeypatch.setattr(sessions, "LONGEST", -1.0)
        async with asyncio.timeout(10):
            await streaming
        assert b"event: logout" in heard

    async def test_it_ends_with_the_server_and_there_are_so_many(self, page: Page) -> None:
        heard = [bytearray() for _ in range(live.MAX_STREAMS)]
        streams = [asyncio.create_task(Browser(page.app).listen("/live", h.extend)) for h in heard]
        while not all(b"data: " in h for h in heard):
            await asyncio.sleep(0.01)
        assert (await Browser(page.app).get("/live")).status == 503
        page.closing.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*streams)
        assert not any(b"logout" in h for h in heard)
        assert (await Browser(page.app).get("/live")).status == 200


class TestMessages:
    async def test_it_finds(self, page: Page) -> None:
        found = await page.behind.put("bob@example.net", subject="您的订单", tags=("billing",))
        await page.behind.put("carol@example.net", subject="Another")
        browser = await page.logged_in()
        for query in ("text=订单", "text=bob@", "address=bob@example.net", "tag=billing&state=queued"):
            text = (await browser.get(f"/messages?{query}")).text
            assert f"/messages/{found}" in text, query
            assert "carol" not in text
        assert "No such message." in (await browser.get("/messages?text=nothing")).text

    async def test_what_was_refused_after_it_was_delivered(self, page: Page) -> None:
        """The fault: of mail that the platform had failed to deliver, the list said no more than that of the rest."""
        await page.behind.put("bob@example.net")
        await page.behind.attempt(Result(0, State.DELIVERED, phase="dot", reply="250 2.0.0 Ok"))
        await page.behind.spool.report([Fate("bob@example.net", NOW, "1", "platform news")])
        browser = await page.logged_in()
        listed = (await browser.get("/messages")).text
        assert "then refused: no such mailbox (told on" in words(listed)
        id_ = re.search(r'href="/messages/(\w{16})"', listed)
        assert id_
        shown = (await browser.get(f"/messages/{id_[1]}")).text
        assert [page.count('class="dot delivered refused"') for page in (listed, shown)] == [1, 2]
        assert "之后被拒收：邮箱不存在" in words((await browser.get("/messages", accept_language="zh")).text)

    async def test_an_id_leads_to_its_message(self, page: Page) -> None:
        found = await page.behind.put("bob@example.net")
        assert (await (await page.logged_in()).get(f"/messages?text={found}")).headers[
            "location"
        ] == f"/messages/{found}"

    async def test_by_time(self, page: Page) -> None:
        await page.behind.put("old@example.net", received_at=NOW - 2 * HOUR, id="0" * 16)
        await page.behind.put("new@example.net")
        moment = datetime.fromtimestamp((NOW - HOUR) / 1000).isoformat(timespec="minutes")
        browser = await page.logged_in()
        newer = (await browser.get(f"/messages?since={moment}")).text
        older = (await browser.get(f"/messages?until={moment}")).text
        assert [re.findall("<bdi>(new|old)", text) for text in (newer, older)] == [["new"], ["old"]]

    @pytest.mark.parametrize(
        "query", ["since=yesterday", "state=lost", "until=99999-01-01", "since=0001-01-01T00:00", "text=" + "x" * 501]
    )
    async def test_what_cannot_be_looked_for(self, page: Page, query: str) -> None:
        assert (await (await page.logged_in()).get(f"/messages?{query}")).status == 400

    async def test_page_by_page(self, page: Page) -> None:
        for number in range(SHOWN + 5):
            await page.behind.put(f"to{number:03}@example.net", tags=("t",), id=f"{number:016}")
        browser = await page.logged_in()
        first = (await browser.get("/messages?tag=t")).text
        older = re.search(r'href="(/messages\?[^"]+)" rel="next"', first)
        assert older
        second = (await browser.get(older[1].replace("&amp;", "&"))).text
        seen = [re.findall(r"<bdi>to\d+", text) for text in (first, second)]
        assert [len(addresses) for addresses in seen] == [SHOWN, 5]
        assert len(set(seen[0] + seen[1])) == SHOWN + 5
        assert 'href="/messages?tag=t">Newest' in second

    async def test_why_nobody_was_sent_to_is_told_in_the_readers_language(self, page: Page) -> None:
        """The words are ours; those of a smarthost stay as they came."""
        await page.behind.put("bob@example.net", "carol@example.net")
        why = "no such mailbox, told by platform acme on 2026-11-24"
        await page.behind.attempt(replace(REFUSED, state=State.SUPPRESSED, reason="1", reply=why), REFUSED)
        await page.behind.put("dan@example.net")
        await page.behind.attempt(REFUSED)
        shown = words((await (await page.logged_in()).get("/messages", accept_language="zh")).text)
        assert "邮箱不存在，平台账户 acme 于 2026-11-24 告知" in shown
        assert "550 5.1.1 No such user" in shown

    async def test_a_thousand_recipients_are_a_line(self, page: Page) -> None:
        await page.behind.put(*(f"to{number}@example.net" for number in range(1000)))
        text = (await (await page.logged_in()).get("/messages")).text
        assert "+999" in text
        assert "queued 1,000" in words(text)


class TestMessage:
    async def test_its_story(self, page: Page) -> None:
        message_id = await page.behind.put(
            "bob@example.net",
            "carol@example.net",
            subject="Your invoice",
            changes=("-Subject: Rechnung", "+Subject: =?utf-8?q?Rechnung?="),
        )
        await page.behind.attempt(LATER, REFUSED)
        text = (await (await page.logged_in()).get(f"/messages/{message_id}")).text
        told = words(text)
        assert "550 5.1.1 No such user" in told
        assert "451 4.7.1 Try again later" in told
        assert "What to do: The address is wrong or does not exist" in told
        assert "Subject: Rechnung</del>" in text
        assert "Subject: =?utf-8?q?Rechnung?=</ins>" in text

    async def test_it_is_told_in_chinese(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net")
        await page.behind.attempt(REFUSED)
        text = (await (await page.logged_in()).get(f"/messages/{message_id}", accept_language="zh")).text
        assert "处理办法：" in text
        assert "地址有误或不存在" in text

    async def test_what_can_be_done_is_done(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net")
        await page.behind.attempt(LATER)
        browser, path = await page.logged_in(), f"/messages/{message_id}"
        with capture_logs() as log:
            for action, state, notice in (
                ("retry", "queued", "Due now: 1"),
                ("hold", "held", "Held: 1"),
                ("release", "queued", "Released: 1"),
                ("cancel", "cancelled", "Cancelled: 1"),
            ):
                assert f'action="{path}/{action}"' in (await browser.get(path)).text
                answer = await browser.act(f"{path}/{action}", path)
                assert (answer.status, answer.headers["location"]) == (303, path)
                assert (await page.behind.operator.show(message_id))["recipients"][0]["state"] == state
                assert notice in (await browser.get(path)).text
                assert notice not in (await browser.get(path)).text
        assert [(line["action"], line["by"], line["recipients"]) for line in log if line["event"] == "operator"] == [
            (action, "ops", 1) for action in ("retry", "hold", "release", "cancel")
        ]
        assert 'method="post" action="/messages' not in (await browser.get(path)).text
        await browser.act(f"{path}/hold", path)  # of a page that was loaded before
        assert "Nothing was done: the message has moved on meanwhile." in (await browser.get(path)).text

    async def test_what_makes_no_sense(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net")
        browser = await page.logged_in()
        assert (await browser.act(f"/messages/{message_id}/explode", "/")).status == 400
        assert (await browser.get("/messages/nosuchid")).status == 404

    async def test_many_recipients_do_not_hold_up_the_loop(self, page: Page) -> None:
        message_id = await page.behind.put(*(f"to{number}@example.net" for number in range(1000)))
        text = (await (await page.logged_in()).get(f"/messages/{message_id}")).text
        assert text.count('<article class="recipient">') == SHOWN_RECIPIENTS
        assert f"and {1000 - SHOWN_RECIPIENTS} more recipients" in text
        assert "queued 1,000" in words(text)

    async def test_what_is_being_sent_may_arrive_though_it_is_cancelled(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net")
        browser, warning = await page.logged_in(), "being sent right now may arrive all the same"
        assert warning not in (await browser.get(f"/messages/{message_id}")).text
        await page.behind.spool.lease("test", NOW, HOUR, 1, ["news"], 100)
        assert warning in (await browser.get(f"/messages/{message_id}")).text

    async def test_the_spool_fails(self, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: object) -> None:
            raise SpoolError("The disk does not answer: look at it.")

        browser = await page.logged_in()
        monkeypatch.setattr(page.behind.spool, "find", fail)
        answer = await browser.get("/messages")
        assert answer.status == 503
        assert "The disk does not answer: look at it." in answer.text

    async def test_a_fault_of_ours_is_logged_and_tells_nothing(
        self, page: Page, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: object) -> None:
            raise ValueError("secret")

        browser = await page.logged_in()
        monkeypatch.setattr(page.behind.spool, "find", fail)
        with capture_logs() as log:
            answer = await browser.get("/messages")
        assert (answer.status, "secret" in answer.text) == (500, False)
        assert "the log says how" in answer.text
        assert [(line["event"], line["path"]) for line in log] == [("a page failed", "/messages")]


class TestSignature:
    async def verdict(self, page: Page, content: bytes, query: str = "", **headers: str) -> str:
        message_id = await page.behind.put("bob@example.net", content=content, domain="example.com")
        text = words((await (await page.logged_in()).get(f"/messages/{message_id}{query}", **headers)).text)
        return text.partition("DKIM ")[2]

    @staticmethod
    def signed(content: bytes = MESSAGE) -> bytes:
        return Signer([KEY]).sign(content, "example.com", NOW) + content

    def publish(self, page: Page, *records: str) -> None:
        texts = tuple((record.encode(),) for record in records)
        page.behind.resolver.txt_records[KEY.record_name] = Found(texts, KEY.record_name, NOW + HOUR)

    async def test_it_holds(self, page: Page) -> None:
        self.publish(page, KEY.record)
        told = await self.verdict(page, self.signed())
        assert told.startswith("relay1._domainkey.example.com ed25519-sha256 Holds, with the key that DNS has.")
        assert "Subject: Your invoice" in told
        assert "Hello" not in told

    async def test_the_body_was_changed(self, page: Page) -> None:
        self.publish(page, KEY.record)
        assert "Does not hold. the body is not" in await self.verdict(page, self.signed().replace(b"Hello", b"Hullo"))

    async def test_the_header_was_changed(self, page: Page) -> None:
        page.behind.keyring.private = [KEY]
        assert "Does not hold. the key does not fit" in await self.verdict(page, self.signed().replace(b"Your", b"My"))

    async def test_what_is_wrong_is_told_in_the_readers_language(self, page: Page) -> None:
        self.publish(page, KEY.record)
        changed = self.signed().replace(b"Hello", b"Hullo")
        assert "无效。 正文与签名时不同" in await self.verdict(page, changed, accept_language="zh")

    async def test_nobody_has_published_it(self, page: Page) -> None:
        assert "DNS has no key for it" in await self.verdict(page, self.signed())

    async def test_two_records(self, page: Page) -> None:
        self.publish(page, KEY.record, "v=spf1 -all")
        assert "several records" in await self.verdict(page, self.signed())

    async def test_dns_fails(self, page: Page) -> None:
        page.behind.resolver.txt_records[KEY.record_name] = Failed("a timeout")
        assert "DNS has not answered yet" in await self.verdict(page, self.signed())

    async def test_somebody_elses_is_not_asked_of_dns(self, page: Page) -> None:
        foreign = b"DKIM-Signature: v=1; a=rsa-sha256; d=evil.example; s=x; h=from; bh=; b=\r\n" + MESSAGE
        assert "Made by somebody else" in await self.verdict(page, foreign)

    async def test_a_large_one_is_verified_when_somebody_asks(self, page: Page) -> None:
        self.publish(page, KEY.record)
        large = self.signed(MESSAGE + b"x" * 70 + b"\r\n" * AT_ONCE)
        assert "Verify the signature" in await self.verdict(page, large)
        assert "Holds" in await self.verdict(page, large, "?verify")

    async def test_none(self, page: Page) -> None:
        assert "It is not signed." in await self.verdict(page, MESSAGE)


class TestSuppressed:
    async def test_an_address_is_found_removed_and_added(self, page: Page) -> None:
        entries = [
            Suppression("bob@example.net", "1", NOW, 0, "platform acme", "550 5.1.1 No such user"),
            Suppression("carol@example.net", "operator", NOW, NOW + HOUR, "operator root"),
        ]
        await page.behind.spool.suppress(entries)
        browser, path = await page.logged_in(), "/suppressed?text=bob@"
        shown = words((await browser.get(path)).text)
        for told in ("bob @example .net no such mailbox platform acme 550 5.1.1 No such user", "no end"):
            assert told in shown
        assert "carol" not in shown
        with capture_logs() as log:
            for action, address, notice in (
                ("remove", "Bob@example.net", "Bob@example.net may be sent to again."),
                ("remove", "bob@example.net", "bob@example.net is not on the list."),
                ("add", " dan@example.net ", "dan@example.net is not sent to any more."),
            ):
                answer = await browser.act(f"/suppressed/{action}", path, address=address, text="e", note="he\nasked")
                assert (answer.status, answer.headers["location"]) == (303, "/suppressed?text=e")
                assert notice in (await browser.get("/suppressed")).text
        assert [(line["action"], line["by"], line["addresses"]) for line in log if line["event"] == "operator"] == [
            ("unsuppress", "ops", ["Bob@example.net"]),
            ("unsuppress", "ops", ["bob@example.net"]),
            ("suppress", "ops", ["dan@example.net"]),
        ]
        listed = await page.behind.suppressions.page()
        assert [(one.address, one.source, one.note) for one in listed] == [
            ("carol@example.net", "operator root", ""),
            ("dan@example.net", "operator ops", "he asked"),
        ]

    async def test_in_chinese(self, page: Page) -> None:
        await page.behind.spool.suppress([Suppression("bob@example.net", "4", NOW, 0, "platform acme")])
        shown = words((await (await page.logged_in()).get("/suppressed", accept_language="zh")).text)
        assert "bob @example .net 投递失败（类型 4） 平台账户 acme" in shown

    async def test_page_by_page(self, page: Page) -> None:
        of = [Suppression(f"to{number:03}@example.net", "1", NOW) for number in range(2 * SUPPRESSED)]
        await page.behind.spool.suppress(of)
        browser = await page.logged_in()
        first = (await browser.get("/suppressed?text=to")).text
        following = re.search(r'href="(/suppressed\?[^"]+)" rel="next"', first)
        assert following
        second = (await browser.get(following[1].replace("&amp;", "&"))).text
        seen = [found for text in (first, second) for found in re.findall(r'name="address" value="(to[^"]+)"', text)]
        assert seen == [one.address for one in of]
        assert 'rel="next"' not in second
        assert 'href="/suppressed?text=to">' in second

    async def test_what_makes_no_sense(self, page: Page) -> None:
        browser = await page.logged_in()
        assert (await browser.act("/suppressed/add", "/", address="nobody")).status == 400
        assert (await browser.act("/suppressed/explode", "/", address="a@example.org")).status == 404
        assert (await browser.get("/suppressed?text=" + "x" * 501)).status == 400

    async def test_the_story_of_who_was_not_sent_to_leads_there(self, page: Page) -> None:
        message_id = await page.behind.put("b+c@example.net")
        await page.behind.attempt(Result(0, State.SUPPRESSED, reason="1", reply="no such mailbox"))
        shown = (await (await page.logged_in()).get(f"/messages/{message_id}")).text
        assert 'href="/suppressed?text=b%2Bc%40example.net"' in shown


class TestDomains:
    async def test_what_dns_says_and_what_to_publish(self, page: Page) -> None:
        page.behind.watch.verdicts["example.com"] = bad_verdict()
        page.behind.keyring.keys = [key(), key(KeyState.PENDING)]
        text = words((await (await page.logged_in()).get("/domains")).text)
        assert "Required: spf, mx. Where one fails: reject." in text
        assert "SPF failed example.com has no SPF record. Publish: example.com. IN TXT" in text
        assert "MX ok There is: mail.bestedm.org" in text
        assert "relay1 rsa 2048 active · DNS: published" in text
        assert "relay1._domainkey.example.com. IN TXT" in text

    async def test_what_is_wrong_is_a_sentence(self, page: Page) -> None:
        """The fault: it began with a small letter, which it does not in `domain check`."""
        wrong = Finding("dkim", Status.FAIL, problem="the key at a.example.com is another one than our key")
        page.behind.watch.verdicts["example.com"] = replace(bad_verdict(), findings=(wrong,))
        text = words((await (await page.logged_in()).get("/domains")).text)
        assert "The key at a.example.com is another one than our key." in text

    async def test_what_was_found_is_told_in_the_readers_language(self, page: Page) -> None:
        """The fault: findings were in English on Chinese pages, as were problems of domains; and had no full stop."""
        page.behind.watch.verdicts["example.com"] = bad_verdict()
        problem = NOT_SET_UP["reject"].of(domain="example.com", problem="example.com has no SPF record")
        page.behind.health.wrong = [problem]
        browser = await page.logged_in()
        for path in ("/domains", "/"):
            assert "example.com 没有 SPF 记录。" in (await browser.get(path, accept_language="zh")).text

    async def test_slow_dns_does_not_hold_it_up(self, page: Page) -> None:
        page.behind.keyring.answers.clear()
        page.behind.keyring.keys = [key()]
        browser = await page.logged_in()
        assert "DNS has not answered yet" in (await browser.get("/domains")).text
        page.behind.keyring.answers.set()
        assert "relay1" in (await browser.get("/domains")).text

    async def test_what_dns_said_long_ago_is_not_told(self, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        page.behind.keyring.answers.clear()
        page.behind.keyring.keys = [key(KeyState.PENDING)]
        browser = await page.logged_in()
        assert "DNS has not answered yet" in (await browser.get("/domains")).text
        page.behind.keyring.answers.set()
        await asyncio.sleep(0)  # it answers, and nobody looks for a day
        page.behind.keyring.keys = [key(KeyState.ACTIVE)]
        monkeypatch.setattr(domains, "FRESH", -1.0)
        assert "relay1 rsa 2048 active" in words((await browser.get("/domains")).text)

    async def test_dns_is_asked_now(self, page: Page) -> None:
        page.behind.watch.verdicts["example.com"] = bad_verdict()
        browser = await page.logged_in()
        answer = await browser.act("/domains/example.com/check", "/domains")
        assert (answer.status, page.behind.watch.looked) == (303, ["example.com"])
        assert (await browser.act("/domains/evil.example/check", "/domains")).status == 404


class TestMail:
    HTML = b"<link rel=preconnect href=//evil.example><script>alert(1)</script><b>hi</b>"
    CONTENT = b"\r\n".join(
        (
            b"From: app@example.com\r\nSubject: Look\r\nMIME-Version: 1.0",
            b"Content-Type: multipart/mixed; boundary=b\r\n",
            b"--b\r\nContent-Type: text/html\r\n\r\n" + HTML,
            b"--b\r\nContent-Type: text/plain\r\n\r\n<script>alert(2)</script> plain",
            b"--b\r\nContent-Type: text/html",
            b'Content-Disposition: attachment; filename="e\\"vil;.html"\r\n\r\n<script>alert(3)</script>\r\n--b--\r\n',
        )
    )

    async def test_the_frame_runs_nothing_and_loads_nothing(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net", content=self.CONTENT)
        browser = await page.logged_in()
        text = (await browser.get(f"/messages/{message_id}/mail")).text
        assert re.search(rf'<iframe class="mail" sandbox title="[^"]+" src="/messages/{message_id}/mail/html">', text)

        assert "&lt;script&gt;alert(2)" in text
        assert "<script>alert" not in text
        answer = await browser.get(f"/messages/{message_id}/mail/html")
        policy = answer.headers["content-security-policy"].split("; ")
        assert {
            "default-src 'none'",
            "sandbox",
            "img-src data:",
            "frame-ancestors 'self'",
            "form-action 'none'",
        } <= set(policy)
        assert not [part for part in policy if part.startswith("script-src")]
        assert "<link" not in answer.text
        assert "<b>hi</b>" in answer.text

    async def test_an_attachment_is_never_shown(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net", content=self.CONTENT)
        browser = await page.logged_in()
        answer = await browser.get(f"/messages/{message_id}/mail/attachments/1")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert not set(answer.headers["content-disposition"].partition("''")[2]) & set('"\\;/ ')
        assert answer.octets.strip() == b"<script>alert(3)</script>"
        assert (await browser.get(f"/messages/{message_id}/mail/attachments/2")).status == 404
        assert (await browser.get(f"/messages/{message_id}/mail/attachments/0")).status == 404

    async def test_its_source(self, page: Page) -> None:
        message_id = await page.behind.put("bob@example.net", content=self.CONTENT)
        browser = await page.logged_in()
        assert "&lt;script&gt;alert(3)" in (await browser.get(f"/messages/{message_id}/mail/source")).text
        assert (await browser.get(f"/messages/{message_id}/mail/file")).octets == self.CONTENT

    async def test_where_bodies_are_not_shown(self, tmp_path: Path) -> None:
        async with behind(tmp_path) as backstage:
            page = page_of(backstage)
            message_id = await backstage.put("bob@example.net", content=self.CONTENT)
            browser = await page.logged_in()
            assert "/mail" not in (await browser.get(f"/messages/{message_id}")).text
            for path in ("", "/html", "/source", "/file", "/attachments/1"):
                assert (await browser.get(f"/messages/{message_id}/mail{path}")).status == 404

    async def test_captured_mail_is_shown_in_any_case(self, tmp_path: Path) -> None:
        async with behind(tmp_path) as backstage:
            page = page_of(backstage)
            message_id = await backstage.put("bob@example.net", content=self.CONTENT)
            await backstage.attempt(Result(0, State.CAPTURED, phase="routing", reply="not sent"))
            browser = await page.logged_in()
            assert f"/messages/{message_id}/mail" in (await browser.get(f"/messages/{message_id}")).text
            assert "<b>hi</b>" in (await browser.get(f"/messages/{message_id}/mail/html")).text


class TestHostileWords:
    """Whatever strangers write is text."""

    @staticmethod
    async def evil_message(backstage: Behind) -> str:
        content = f"Subject: {EVIL}\r\nX-Evil: {EVIL}\r\n\r\n".encode()
        message_id = await backstage.put(
            f"{EVIL}@example.net",
            content=content,
            reverse_path=f"{EVIL}@example.com",
            account=EVIL,
            subject=EVIL,
            tags=(EVIL,),
            message_id=EVIL,
            repairs=(EVIL,),
            changes=(f"-Subject: {EVIL}",),
            idempotency_key=EVIL,
        )
        await backstage.attempt(Result(0, State.QUEUED, NOW + HOUR, phase=EVIL, reply=EVIL, smarthost=EVIL))
        return message_id

    async def test_on_every_page(self, page: Page) -> None:
        message_id = await self.evil_message(page.behind)
        page.behind.credentials.refused("news", EVIL)
        page.behind.limits.suspended.add(EVIL)
        page.behind.pulse.now = Waiting({State.HELD: 1}, {}, {EVIL: 1}, {EVIL: 1})
        page.behind.health.wrong = [SPOOL.of(since=EVIL, words=EVIL)]
        await page.behind.spool.suppress([Suppression("bob@example.net", "operator", NOW, 0, EVIL, EVIL)])
        browser = await page.logged_in()
        paths = ("/", "/messages", "/messages/{}", "/messages/{}/mail", "/messages/{}/mail/source", "/suppressed")
        for path in paths:
            text = (await browser.get(path.format(message_id))).text
            assert "onerror=alert(1)&gt;{{ 7 * 7 }}" in text, path
            assert "<img" not in text
            assert "alert(1)</" not in text

    async def test_what_turns_text_around_does_so_where_it_stands(self, page: Page) -> None:
        """In a line of its own, or in an element that the rest of its line is kept apart from."""
        message_id = await page.behind.put("bob@example.net", subject="\u202egpj.exe", tags=("\u202etag",))
        browser = await page.logged_in()
        listed = (await browser.get("/messages")).text
        for place in ("<bdi>\u202egpj.exe</bdi>", '<bdi class="tag">\u202etag</bdi>'):
            assert place in listed
        assert (
            '<h1 class="subject" dir="auto">\u202egpj.exe</h1>' in (await browser.get(f"/messages/{message_id}")).text
        )

    async def test_what_is_asked_for_comes_back_as_text(self, page: Page) -> None:
        browser = await page.logged_in()
        query = "&".join(f"{name}=%22%3E%3Cimg%20src%3Dx%3E" for name in ("text", "address", "tag", "account"))
        text = (await browser.get(f"/messages?{query}")).text
        assert text.count("&#34;&gt;&lt;img src=x&gt;") == 4
        assert "<img" not in text
        login = (await Browser(page.app).get("/login?next=/%22%3E%3Cimg%20src%3Dx%3E")).text
        assert "<img" not in login

    async def test_there_is_nothing_inline(self, page: Page) -> None:
        message_id = await self.evil_message(page.behind)
        page.behind.watch.verdicts["example.com"] = bad_verdict()
        browser = await page.logged_in()
        for path in ("/", "/login", "/messages", f"/messages/{message_id}", "/domains", f"/messages/{message_id}/mail"):
            text = (await browser.get(path)).text
            tags = " ".join(re.findall(r"<[a-z][^<>]*>", text))
            assert not re.search(r"""\s(?:style|on[a-z]+)\s*=""", tags), path
            assert "<style" not in text
            assert re.findall(r"<script[^>]*>", text) in (
                [],
                [f'<script type="module" src="{text.partition("src=")[2][1:].partition(chr(34))[0]}">'],
            )
            assert not re.findall(r"""(?:src|href|action)=["'](?!/|#|\?)[^"']*""", tags), path
