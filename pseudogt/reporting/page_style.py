"""Style sheet of the HTML pages. A literal: the digest that decides what reruns is taken from Python sources."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --ink: #1c2127; --faint: #5c6670; --line: #d9dee3; --panel: #f4f6f8; --accent: #1f6fb4;
  --low: #b00020;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181c; --ink: #e6eaee; --faint: #9aa5b0; --line: #323a42; --panel: #1d2329; --accent: #6db3f2;
    --low: #ff8a80;
  }
}
* { box-sizing: border-box }
[hidden] { display: none !important }
body {
  font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1500px; padding: 1.5rem 1.25rem 4rem;
  color: var(--ink); background: var(--page);
}
h1, h2 { line-height: 1.2; overflow-wrap: anywhere } h1 { margin: 0 0 .25rem } h2 { margin: 2.5rem 0 .5rem }
p { max-width: 60rem; margin: .5rem 0 } a { color: var(--accent) }
.muted { color: var(--faint) } .low { color: var(--low) }
figure { margin: 0 } img { max-width: 100%; height: auto }
button, select { font: inherit; color: inherit; background: var(--page); border: 1px solid var(--line);
  border-radius: .4rem; padding: .3rem .6rem; min-height: 2.25rem; max-width: 100% }
button { cursor: pointer } button:hover:enabled { border-color: var(--accent) } button:disabled { opacity: .4 }
:focus-visible, .frame:has(input:focus-visible) { outline: 3px solid var(--accent); outline-offset: 2px }
input[type=range] { accent-color: var(--accent); width: 100%; margin: .4rem 0 }

.numbers { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1rem 0; padding: 0; list-style: none }
.numbers li { max-width: 11rem; line-height: 1.3 }
.numbers b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums }
.numbers span { display: block; color: var(--faint); font-size: .85rem }

.controls, .controls .grid { display: grid; gap: .6rem 1rem;
  grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)) }
.controls { padding: .9rem; margin: 1rem 0; background: var(--panel); border: 1px solid var(--line);
  border-radius: .6rem }
.controls details, .controls .chips { grid-column: 1 / -1; min-width: 0 }
.controls summary { cursor: pointer; margin-bottom: .4rem; width: max-content }
.controls label { display: block; font-size: .85rem; color: var(--faint) }
.controls select { display: block; width: 100%; color: var(--ink) }
.controls .status { display: flex; gap: 1rem; align-items: end; justify-content: space-between }
.controls .status span { align-self: center; white-space: nowrap }
.chips { border: 0; margin: 0; padding: 2px; display: flex; flex-wrap: wrap; gap: .35rem; max-height: 8.5rem;
  overflow-y: auto }
.chips legend { font-size: .85rem; color: var(--faint); padding: 0 }
.chips button, .chips .key { display: inline-flex; align-items: center; gap: .4rem; padding: .15rem .6rem;
  min-height: 2rem; border-radius: 1rem; font-size: .9rem }
.chips button[aria-pressed=true] { border-color: var(--accent); box-shadow: inset 0 0 0 1px var(--accent) }
.swatch { width: .9rem; height: .9rem; border-radius: .2rem; border: 1px solid var(--line); flex: none }
.unlabelled { background: repeating-linear-gradient(135deg, #1e1e1e 0 4px, #6e6e6e 4px 6px) }
.background { background: #a0a0a0 }
.cards { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)) }
.card { min-width: 0 }
.caption { display: flex; flex-wrap: wrap; gap: 0 .75rem; font-size: .85rem; margin-top: .3rem; max-width: none }
.caption .id { flex: 1 1 8rem; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  font-weight: 600; color: var(--ink) }
.view { position: relative }
.view button { position: absolute; right: .4rem; bottom: .4rem; min-height: 2rem; padding: .1rem .7rem; border: 0;
  font-size: .85rem; color: #fff; background: rgb(0 0 0 / .65) }
.frame { position: relative; overflow: hidden; border-radius: .4rem; background: #000; cursor: ew-resize; --at: 50%;
  touch-action: pan-y pinch-zoom; user-select: none; -webkit-user-select: none }
.frame img { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none }
.frame .left { clip-path: inset(0 calc(100% - var(--at)) 0 0) }
.frame .right { clip-path: inset(0 0 0 var(--at)) }
.frame .layer { opacity: var(--opacity, .65) }
.frame .name { position: absolute; top: .4rem; max-width: 47%; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; font-size: .75rem; line-height: 1.5; padding: 0 .45rem; border-radius: .3rem; color: #fff;
  background: rgb(0 0 0 / .65); pointer-events: none }
.frame .name.first { left: .4rem } .frame .name.second { right: .4rem }
.frame .line { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px #000; pointer-events: none }
.frame .line::after { content: "\\2194"; position: absolute; top: 50%; left: 50%; width: 1.9rem; height: 1.9rem;
  margin: -.95rem; border-radius: 50%; background: #fff; color: #222; text-align: center; line-height: 1.85rem;
  box-shadow: 0 0 4px rgb(0 0 0 / .6) }
.frame input { position: absolute; inset: auto 0 0 0; margin: 0; opacity: 0; pointer-events: none }

dialog { width: min(96vw, 90rem); max-height: 96vh; max-height: 96dvh; padding: 1rem; color: inherit;
  background: var(--page); border: 1px solid var(--line); border-radius: .6rem; overflow: auto }
dialog::backdrop { background: rgb(0 0 0 / .7) }
dialog .bar { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin-bottom: .6rem }
dialog .bar h2 { flex: 1 1 12rem; margin: 0; font-size: 1.1rem }
dialog .frame { margin: 0 auto; max-width: calc(72vh * var(--ratio)) }
dialog .sides { display: flex; flex-wrap: wrap; gap: .5rem 1rem; margin: .6rem 0; font-size: .9rem }
.facts { display: flex; flex-wrap: wrap; gap: .1rem 1rem; padding: 0; margin: .4rem 0; list-style: none;
  font-size: .9rem }
.facts li { display: inline-flex; align-items: center; gap: .35rem }

.tables { display: flex; flex-wrap: wrap; gap: 0 4rem } .tables section { min-width: 0 }
.scroll { overflow-x: auto } .scroll.chart img { min-width: 44rem; border-radius: .4rem; background: #fff }
table { border-collapse: collapse; margin: .5rem 0; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .9rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
figcaption { color: var(--faint); max-width: 60rem }

@media (max-width: 40rem) {
  body { padding: 1rem .75rem 3rem }
  .numbers li { max-width: calc(50% - 1rem) }
  .controls { padding: .7rem } .controls, .controls .grid { grid-template-columns: 1fr 1fr }
  .controls .status { grid-column: 1 / -1 }
  dialog .bar h2 { flex-basis: 100% } dialog .sides { display: grid; grid-template-columns: 1fr 1fr }
  dialog .sides select { width: 100% }
  dialog { width: 100vw; max-width: 100vw; padding: .7rem; border-radius: 0 }
}
@media print {
  :root { color-scheme: light; --page: #fff; --ink: #000; --faint: #444; --line: #bbb }
  .controls, dialog, .view button { display: none }
  .cards { grid-template-columns: 1fr 1fr } .card, figure, table { break-inside: avoid }
  .frame, .swatch { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""
