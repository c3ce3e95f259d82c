"""The dashboard's modules by themselves: what they make of texts, without a look at the page."""

import pytest

import browser as browsers
from bitloop import Host


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """call(module, expression, argument): the value of `expression`, in which `m` is the module and `x` the argument."""
    with Host(tmp_path_factory.mktemp("modules") / "workspace") as host:
        browser = browsers.Browser()
        page = browser.page(host)

        def evaluate(module, expression, argument=None):
            return page.evaluate(f"async (x) => {{ const m = await import('/static/{module}.js'); return {expression}; }}", argument)

        yield evaluate
        page.close()
        browser.close()
        assert host.stop() == 0


def pieces(call, lines):
    """The coloured pieces of each line, with what a line leaves open handed to the next."""
    return call("lua", """(() => { let state = null; return x.map((line) => {
        const [found, after] = m.colourLine(line, state); state = after; return found.filter(([kind]) => kind !== 'plain'); }); })()""", lines)


def test_lua_in_colours(call):
    assert pieces(call, ['local s = "a -- b" -- c']) == [
        [["keyword", "local"], ["name", "s"], ["string", '"a -- b"'], ["comment", "-- c"]]]
    assert pieces(call, ["-- BEGIN EDITABLE quantizer"]) == [[["marker", "-- BEGIN EDITABLE quantizer"]]]
    assert pieces(call, [r"x = 'it\'s' .. f(0x1F, 1e-5, .5)"]) == [
        [["name", "x"], ["string", r"'it\'s'"], ["call", "f"], ["number", "0x1F"], ["number", "1e-5"], ["number", ".5"]]]
    assert pieces(call, ["--[==[ open", "]] not yet", "end ]==] return"]) == [
        [["comment", "--[==["], ["comment", " open"]], [["comment", "]] not yet"]], [["comment", "end ]==]"], ["keyword", "return"]]]
    assert pieces(call, ["s = [[a", "b]] x"]) == [[["name", "s"], ["string", "[["], ["string", "a"]], [["string", "b]]"], ["name", "x"]]]


@pytest.mark.parametrize("line", ["", " ", '"open', "'", "--", "--[", "--[[", "[==", "\\", "é ü 漢 😀", "<b>&amp;</b>", "a" * 5000])
def test_colours_leave_the_text_as_it_is(call, line):
    assert call("lua", "m.colourLine(x)[0].map(([, text]) => text).join('')", line) == line


def test_a_unified_diff(call):
    diff = "--- a/x\n+++ b/x\n@@ -2,3 +2,4 @@ f()\n same\n-old\n+new\n+--- a/x\n same\n@@ -9 +10 @@\n-x\n\\ No newline at end of file\n+y\n"
    lines = call("diff", "m.parseDiff(x)", diff)
    assert [(line["kind"], line.get("before"), line.get("after"), line["text"]) for line in lines] == [
        ("hunk", None, None, "@@ -2,3 +2,4 @@ f()"), ("same", 2, 2, "same"), ("removed", 3, None, "old"), ("added", None, 3, "new"),
        ("added", None, 4, "--- a/x"), ("same", 4, 5, "same"), ("hunk", None, None, "@@ -9 +10 @@"), ("removed", 9, None, "x"),
        ("added", None, 10, "y")]
    assert call("diff", "m.parseDiff(x)", "") == []


def test_the_front(call):
    points = [{"x": 2, "y": 3}, {"x": 1, "y": 5}, {"x": 2, "y": 4}, {"x": 3, "y": 3}, {"x": 4, "y": 1}, {"x": 1, "y": 5}]
    assert call("pareto", "m.front(x)", points) == [{"x": 1, "y": 5}, {"x": 2, "y": 3}, {"x": 4, "y": 1}]
    assert call("pareto", "m.front([])") == []


def test_the_best_so_far(call):
    points = [{"x": 1, "y": 3}, {"x": 2, "y": 2}, {"x": 4, "y": 5}]
    assert call("scores", "m.bestSoFar(x)", points) == [{"x": 1, "y": 3}, {"x": 2, "y": 2}, {"x": 4, "y": 2}]


def test_a_curve_from_records_and_from_events(call):
    records = ('{"type": "header", "step": 0}\n{"type": "step", "step": 20, "train_loss": 2}\n{"type": "step", "step": 10, "train_loss": 3}\n'
               '{"type": "val", "step": 20, "val_loss": 2.5}\n{"type": "step", "step": 30, "train_loss": null}\n{"type": "step", "st')
    expression = """(() => { const curve = new m.Curve(1); curve.addRecords(x); curve.add('step', {step: 20, train_loss: 2});
        curve.add('step', {step: 40, train_loss: 1}); return [curve.points('train'), curve.points('val')]; })()"""
    assert call("curves", expression, records) == [
        [{"x": 10, "y": 3}, {"x": 20, "y": 2}, {"x": 40, "y": 1}], [{"x": 20, "y": 2.5}]]
    long = "\n".join(f'{{"type": "step", "step": {i}, "train_loss": {i}}}' for i in range(13_535))
    ends = call("curves", "(() => { const c = new m.Curve(1); c.addRecords(x); const p = c.points('train'); return [p.length <= 2001, p[0].x, p.at(-1).x]; })()", long)
    assert ends == [True, 0, 13_534]


def test_sorting_puts_what_is_missing_last(call):
    sort = "x[0].sort((a, b) => m.compare(a, b, x[1]))"
    assert call("table", sort, [[3, None, 10, ""], False]) == [3, 10, None, ""]
    assert call("table", sort, [[3, None, 10, ""], True]) == [10, 3, None, ""]
    assert call("table", sort, [["test 10", "test 9", ""], False]) == ["test 9", "test 10", ""]


@pytest.mark.parametrize("text, left", [
    ("", "abcd"), ("  ", "abcd"), ("loss<2", "a"), ("loss>=2", "bc"), ("loss=2.0", "b"), ("loss!=2", "acd"), ("name=A", "a"),
    ("loss<2 name=b", ""), ("unknown<3", ""), ("ODD", "bc"), ('"two words"', "d"), ("two words", "d"), ("loss=", "d"), ("loss<", "abcd"),
    ('"', "abcd"), ("(.*", ""), ("loss<x", "")])
def test_the_filter(call, text, left):
    rows = [{"name": "a", "loss": "1.5", "text": ""}, {"name": "b", "loss": "2", "text": "odd"}, {"name": "c", "loss": "3", "text": "an Odd one"},
            {"name": "d", "loss": "", "text": "two words"}]
    found = call("filter", "x.rows.filter(m.makeFilter(x.text, ['name', 'loss', 'text'])).map((row) => row.name).join('')",
                 {"rows": rows, "text": text})
    assert found == left


def test_tables_as_text_and_back(call):
    text = "a\tb\n1\t\n\t2\n"
    assert call("format", "m.parseTsv(x)", text) == {"columns": ["a", "b"], "rows": [{"a": "1", "b": ""}, {"a": "", "b": "2"}]}
    assert call("format", "(() => { const {columns, rows} = m.parseTsv(x); return m.toTsv(columns, rows); })()", text) == text
    assert call("format", "m.parseTsv('')", "") == {"columns": [""], "rows": []}
    assert call("format", "[m.loss(null), m.loss(2.34567), m.bits(undefined), m.short(842496), m.short(0.29641), m.time('x')]") == [
        "–", "2.3457", "–", "842,496", "0.29641", "–"]
