#!/usr/bin/env python3
"""
test_page.py - the report in a real browser: fits a phone, light and dark, says every figure in text, runs no script
that fails and asks nothing of any network. Then the same page spoiled, once for each of these, and each has to be
found.

usage: report/test_page.py DIRECTORY   leaves screenshots beside the page; ends with "N passed, N failed"
"""
import os
import sys
from pathlib import Path

from browser import Browser

# Runs in the page. Text is compared with what is behind it as WCAG does (4.5 to 1); of an SVG, too.
LOOK = r"""(width => {
    const rgb = text => (text.match(/[\d.]+/g) || [0, 0, 0]).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const back = element => {
        for (; element; element = element.parentElement) {
            const colour = rgb(getComputedStyle(element).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort(); return (y + .05) / (x + .05); };
    document.querySelectorAll('details').forEach(details => details.open = true);
    const problems = [];
    const root = document.documentElement;
    if (root.scrollWidth > width) {
        const wide = [...document.body.querySelectorAll('*')]
            .filter(e => !e.closest('.wide') && e.getBoundingClientRect().right > width)
            .slice(0, 3).map(e => e.outerHTML.slice(0, 80));
        problems.push(`scroll: ${root.scrollWidth} wide on ${width}: ${wide}`);
    }
    const texts = 'body, p, td, th, code, pre, summary, figcaption, h1, h2, h3, svg text';
    for (const element of document.querySelectorAll(texts)) {
        const style = getComputedStyle(element);
        const svg = element instanceof SVGElement;
        const seen = contrast(rgb(svg ? style.fill : style.color), back(svg ? element.closest('figure') : element));
        if (!(seen >= 4.5)) {
            problems.push(`contrast: ${seen.toFixed(1)} of ${element.outerHTML.slice(0, 80)}`);
            break;
        }
    }
    const figures = [...document.querySelectorAll('figure')];
    for (const figure of figures) {
        const svg = figure.querySelector('svg'), box = svg && svg.getBoundingClientRect();
        const table = figure.querySelector('details table');
        if (!box || box.width < 200 || box.height < 100) problems.push('figure: nothing drawn');
        else if (!svg.getAttribute('aria-label')) problems.push('figure: no name');
        const caption = figure.querySelector('figcaption');
        if (!caption?.innerText.trim() || !caption.getBoundingClientRect().height) problems.push('text: no caption');
        if (!table || table.rows.length < 3 || !table.innerText.trim() || !table.getBoundingClientRect().height)
            problems.push('text: a figure is not in text');
        const small = [...(svg ? svg.querySelectorAll('text') : [])]
            .map(t => t.getBoundingClientRect().height).filter(h => h > 0);
        if (small.length && Math.min(...small) < 8) problems.push('figure: text too small to read');
    }
    if (!figures.length) problems.push('figure: there is none');
    if ([...document.querySelectorAll('svg')].some(svg => !svg.closest('figure')))
        problems.push('text: a drawing that is no figure');
    return { problems, back: getComputedStyle(document.body).backgroundColor, figures: figures.length };
})"""

VIEWS = [(width, dark) for width in (360, 768, 1280) for dark in (False, True)]


def look(browser, path, width, dark):
    """(problems, background, figures)"""
    url = Path(path).resolve().as_uri()
    browser.open(url, width, dark)
    seen = browser.evaluate(f"{LOOK}({width})")
    problems = seen["problems"]
    for event in browser.events:
        params = event["params"]
        if event["method"] == "Runtime.exceptionThrown":
            problems.append("script: " + params["exceptionDetails"]["text"])
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            problems.append("log: " + params["entry"]["text"])
        elif (
            event["method"] == "Network.requestWillBeSent"
            and params["request"]["url"] != url
            and not params["request"]["url"].startswith("data:")
        ):
            problems.append("network: " + params["request"]["url"])
    return problems, seen["back"], seen["figures"]


SPOILED = [
    ("scroll", "<h1>", '<div style="width:500px">wide</div><h1>'),
    ("contrast", "--fore: #e4e7eb", "--fore: #333"),
    ("text", "<figcaption>", "<figcaption hidden>"),
    ("text", "<summary>In text</summary>", "<summary>In text</summary><template>"),
    ("figure", "<figure><svg", '<figure><svg style="display:none"'),
    ("script", "<h1>", "<script>nowhere()</script><h1>"),
    ("network", "<h1>", '<img src="http://127.0.0.1:9/x.png" alt=""><h1>'),
    ("network", "<h1>", '<link rel=stylesheet href="style.css"><h1>'),
]


def main(directory):
    passed = failed = 0

    def check(name, good, why=""):
        nonlocal passed, failed
        passed, failed = passed + bool(good), failed + (not good)
        print(f"{'ok' if good else 'not ok'} - {name}" + (f": {why}" if why and not good else ""), flush=True)

    page, spoiled = f"{directory}/index.html", f"{directory}/spoiled.html"
    with open(page) as file:
        text = file.read()
    with Browser() as browser:
        backs = {}
        for width, dark in VIEWS:
            problems, backs[dark], figures = look(browser, page, width, dark)
            check(
                f"{width} pixels, {'dark' if dark else 'light'}: {figures} figures",
                not problems,
                "; ".join(problems[:5]),
            )
            browser.screenshot(f"{directory}/page-{width}-{'dark' if dark else 'light'}.png")
        check(f"light and dark differ: {backs[False]}, {backs[True]}", backs[False] != backs[True])
        for what, old, new in SPOILED:
            with open(spoiled, "w") as file:
                file.write(text.replace(old, new, 1))
            problems = look(browser, spoiled, 360, True)[0]
            check(
                f"spoiled: {new[:50]!r} is found",
                old in text and any(p.startswith(what) for p in problems),
                str(problems[:5]),
            )
    os.remove(spoiled)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
