"""Log lines are held for a fiftieth of a second at most; a process that ends writes those it holds."""

import asyncio
import io
import json
import subprocess
import sys
import textwrap
import threading

import pytest

from keraserve_gateway.telemetry.buffered_log import BufferedLog


class File(io.StringIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def file() -> File:
    return File()


@pytest.fixture
def lines(file: File) -> BufferedLog:
    return BufferedLog(file)


def log(lines: BufferedLog, *texts: str) -> None:
    for text in texts:
        lines.write(text)
        lines.flush()


def test_outside_of_an_event_loop_a_line_is_written_at_once(file: File, lines: BufferedLog) -> None:
    for number in "12":
        log(lines, number)
        assert file.getvalue().endswith(number)


async def written(file: File, writes: int) -> None:
    """Wait for that many writes."""
    async with asyncio.timeout(10):
        while file.writes < writes:
            await asyncio.sleep(0.001)


async def test_lines_of_several_turns_are_written_together(file: File, lines: BufferedLog) -> None:
    for writes in (1, 2):
        log(lines, "a", "b")
        await asyncio.sleep(0)
        log(lines, "c")
        assert file.writes == writes - 1
        await written(file, writes)
        assert (file.writes, file.getvalue()) == (writes, "abc" * writes)


async def test_a_threads_line_does_not_wait_for_the_loop(file: File, lines: BufferedLog) -> None:
    log(lines, "a")
    thread = threading.Thread(target=log, args=(lines, "b"))
    thread.start()
    thread.join()
    assert file.getvalue() == "ab"
    log(lines, "c")
    await written(file, 2)
    assert file.getvalue() == "abc"


def test_lines_of_an_ended_loop_are_written_by_the_next(file: File, lines: BufferedLog) -> None:
    ended = asyncio.new_event_loop()
    ended.call_soon(lambda: (log(lines, "a"), ended.stop()))
    ended.run_forever()
    ended.close()

    async def another() -> None:
        log(lines, "b")
        await written(file, 1)

    asyncio.run(another())
    assert file.getvalue() == "ab"


def logged_by(program: str) -> str:
    """Run a program to its end, and give what it wrote on standard error."""
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    return ended.stderr


def test_the_end_of_the_process_writes_what_is_held() -> None:
    program = """
        import asyncio, sys
        from keraserve_gateway.telemetry.buffered_log import BufferedLog

        lines = BufferedLog(sys.stderr)

        async def main():
            lines.write("last")
            lines.flush()
            sys.exit()

        asyncio.run(main())
    """
    assert logged_by(program) == "last"


def test_values_that_are_no_unicode_are_logged() -> None:
    program = r"""
        import structlog
        from keraserve_gateway.telemetry import logs

        logs.configure("info")
        structlog.get_logger().info("read", name="a\udcff.jpg", path=b"/x", size=1 << 70, word="größer")
    """
    line = json.loads(logged_by(program))
    assert (line["name"], line["size"], line["word"]) == ("a\udcff.jpg", 1 << 70, "größer")
