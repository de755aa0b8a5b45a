"""The style of the report's page: light and dark, wide and narrow, on paper."""

from __future__ import annotations

_LIGHT = """
  --bg: #f6f7f9; --card: #fff; --ink: #1a2330; --soft: #5b6778; --line: #dde2e9;
  --good: #1a7f52; --bad: #c02f2f; --warn: #a85d00; --warnbg: #fff3e0; --badbg: #fdecec;
  --c0: #2563c9; --c1: #c2570c; --c2: #1a7f52; --c3: #8b3fb5; --c4: #0f7f8c; --c5: #a8326e;
  --human: #1a7f52; --model: #c2570c; --heat: 37, 99, 201;
"""
_DARK = """
  --bg: #11151b; --card: #1a2029; --ink: #e6eaf0; --soft: #9aa7b8; --line: #303948;
  --good: #4cc38a; --bad: #ff7b72; --warn: #f0a94a; --warnbg: #33260f; --badbg: #38191b;
  --c0: #6ba1f5; --c1: #f08c4a; --c2: #4cc38a; --c3: #c48bea; --c4: #4fc3d0; --c5: #ea7fb4;
  --human: #4cc38a; --model: #f08c4a; --heat: 107, 161, 245;
"""
_COLOURS = "\n".join(
    f".line.s{n} {{ stroke: var(--c{n}); }} .band.s{n}, .dot.s{n} {{ fill: var(--c{n}); }} "
    f".key.s{n} {{ background: var(--c{n}); }}"
    for n in range(6)
)
_TEXT = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, sans-serif; }
main, header, footer { max-width: 1080px; margin: 0 auto; padding: 0 16px; }
header { padding-top: 28px; }
h1, h2, h3, p, summary { overflow-wrap: anywhere; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 34px 0 10px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0; }
a { color: var(--c0); }
.soft { color: var(--soft); }
.small { font-size: 13px; }
.big { font-size: 30px; font-weight: 650; line-height: 1.2; }
nav { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 10px 0; font-size: 14px; }
footer { color: var(--soft); padding: 30px 16px 50px; font-size: 13px; }
dl { margin: 0; display: grid; grid-template-columns: auto 1fr; gap: 2px 10px; font-size: 14px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font-size: .95em; overflow-wrap: anywhere; }
details summary { cursor: pointer; color: var(--soft); margin: 8px 0; }
"""
_BOXES = """
.cards { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr)); }
.pair { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
  min-width: 0; margin-bottom: 12px; }
.cards .card, .pair .card, .gallery .card { margin-bottom: 0; }
.card h3 { margin: 0 0 4px; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; background: linear-gradient(90deg, var(--card) 30%, transparent) left / 40px 100% no-repeat
  local, linear-gradient(270deg, var(--card) 30%, transparent) right / 40px 100% no-repeat local,
  linear-gradient(90deg, var(--soft), transparent) left / 12px 100% no-repeat scroll,
  linear-gradient(270deg, var(--soft), transparent) right / 12px 100% no-repeat scroll; }
.scroll:focus-visible { outline: 3px solid var(--c0); outline-offset: 2px; }
.note { border-radius: 10px; padding: 12px 16px; margin: 12px 0; border: 1px solid; }
.note h3 { margin: 0 0 4px; }
.note.bad { background: var(--badbg); border-color: var(--bad); }
.note.warn { background: var(--warnbg); border-color: var(--warn); }
.tag { display: inline-block; border-radius: 20px; padding: 1px 9px; font-size: 12px; border: 1px solid var(--line);
  margin: 2px 4px 2px 0; overflow-wrap: anywhere; }
.tag.raised { color: var(--bad); border-color: var(--bad); font-weight: 600; }
.tag.quiet { color: var(--good); border-color: var(--good); }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
"""
_CHARTS = """
.chart { display: block; width: 100%; min-width: min(var(--w), 560px); height: auto; }
.pair .chart { max-width: 440px; min-width: 0; margin: 0 auto; }
.grid { stroke: var(--line); stroke-width: 1; }
.tick { fill: var(--soft); font-size: 11px; }
.line { fill: none; stroke-width: 2; }
.band { opacity: .16; stroke: none; }
.limit { fill: none; stroke: var(--soft); stroke-dasharray: 5 4; }
.bar { fill: var(--c0); }
line.alarm { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 3 3; }
text.alarm { fill: var(--bad); font-size: 11px; font-weight: 600; }
.meter { position: relative; display: inline-block; width: 140px; height: 10px; background: var(--line);
  border-radius: 5px; }
.meter i { position: absolute; top: 0; bottom: 0; background: var(--c0); opacity: .45; border-radius: 5px;
  min-width: 2px; }
.meter b { position: absolute; top: -2px; bottom: -2px; width: 2px; margin-left: -1px; background: var(--ink); }
"""
_TABLES = """
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { overflow-wrap: anywhere; }
th, td { text-align: left; padding: 6px 10px 6px 0; vertical-align: middle; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; font-size: 13px; }
thead th { white-space: nowrap; }
td:first-child, tbody th { min-width: 90px; max-width: 320px; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.w { white-space: nowrap; }
.matrix { width: auto; }
.matrix td, .matrix th { text-align: center; padding: 4px 6px; border: 1px solid var(--line); min-width: 44px;
  font-variant-numeric: tabular-nums; }
.matrix th[scope=row] { text-align: right; max-width: 180px; min-width: 120px; }
.matrix td:first-child { min-width: 0; }
.matrix th[scope=col] { vertical-align: bottom; max-width: 90px; min-width: 44px; white-space: normal; }
.matrix th span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; }
.matrix th span, .matrix th[scope=row] { overflow: hidden; }
.matrix td.same { color: var(--good); }
"""
_GALLERY = """
.gallery { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
.shot { position: relative; background: var(--bg); border-radius: 8px; overflow: hidden; display: block;
  margin-bottom: 8px; }
.shot img { display: block; width: 100%; max-height: 260px; object-fit: contain; }
.shot.drawn img { max-height: none; }
.shot svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.shape { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.shape.model { stroke: var(--model); stroke-dasharray: 6 4; }
.shape.human { stroke: var(--human); }
.gallery dl { font-size: 15px; }
.from { font-size: 12px; color: var(--soft); overflow-wrap: anywhere; margin: 6px 0 0; }
.said { color: var(--model); }
.meant { color: var(--human); }
.words { background: var(--bg); border-radius: 8px; padding: 10px; margin: 0 0 8px; max-height: 200px; overflow: auto;
  white-space: pre-wrap; font-size: 13px; overflow-wrap: anywhere; }
mark { background: none; color: inherit; border-bottom: 3px solid; border-radius: 2px; }
mark.model { border-color: var(--model); border-bottom-style: dashed; }
mark.human { border-color: var(--human); }
"""
_MEDIA = """
@media (min-width: 900px) {
  .scroll .chart text { font-size: 8.5px; }
}
@media (max-width: 560px) {
  .scroll .chart text { font-size: 13px; }
  .meter { width: 90px; }
  .gallery { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .card { padding: 12px; }
  .gallery dl { grid-template-columns: 1fr; gap: 0; }
  .gallery dt { font-size: 12px; }
}
@media print {
  body { background: #fff; }
  .card { break-inside: avoid; }
  nav { display: none; }
}
"""

STYLE = (
    f":root {{ color-scheme: light dark; {_LIGHT} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}"
    f"{_TEXT}{_BOXES}{_CHARTS}{_COLOURS}{_TABLES}{_GALLERY}{_MEDIA}"
)
