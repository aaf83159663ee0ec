"""Script of the report's page. A literal: the digest that decides what reruns is taken from Python sources."""

SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (id) => document.getElementById(id);
const form = find("controls"), dialog = find("large"), cards = find("cards");
const chosen = new Set();
let shown = [], current = 0;

function make(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

// Two views of an image, the border between which a range input, the keyboard, a mouse or a finger moves.
class Frame {
  constructor() {
    this.photo = make("img", { alt: "" });
    this.sides = ["left", "right"].map((side) => make("img", { className: side }));
    this.names = ["first", "second"].map((side) => make("span", { className: "name " + side }));
    this.titles = ["", ""];
    this.range = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50 });
    this.root = make("div", { className: "frame" }, this.photo, ...this.sides, ...this.names,
      make("span", { className: "line" }), this.range);
    this.range.addEventListener("input", () => this.draw());
    this.root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.root.setPointerCapture(event.pointerId);
      this.range.focus({ preventScroll: true });
      if (event.pointerType === "touch") return;  // it may be the start of scrolling
      this.follow(event);
      event.preventDefault();
    });
    this.root.addEventListener("pointermove", (event) => {
      if (this.root.hasPointerCapture(event.pointerId)) this.follow(event);
    });
    this.root.addEventListener("click", (event) => { if (event.detail) this.follow(event); });
  }
  follow(event) {
    const place = this.root.getBoundingClientRect();
    this.move((event.clientX - place.left) / place.width * 100);
  }
  move(percent) {
    this.range.value = percent;
    this.draw();
  }
  show(image, keys) {
    this.root.style.aspectRatio = image.width + " / " + image.height;
    this.root.style.setProperty("--ratio", image.width / image.height);
    this.photo.src = image.photo;
    keys.forEach((key, i) => {
      const side = this.sides[i], picture = key === "weak" ? image.marked : image.labels[key];
      side.hidden = !picture;
      if (picture) side.src = picture;
      else side.removeAttribute("src");
      side.classList.toggle("layer", key !== "weak");
      side.alt = data.titles[key] + " of " + image.id;
      this.names[i].textContent = this.names[i].title = data.titles[key];
    });
    this.titles = keys.map((key) => data.titles[key]);
    this.range.setAttribute("aria-label", image.id + ": " + this.titles.join(" | "));
    this.draw();
  }
  draw() {
    this.root.style.setProperty("--at", this.range.value + "%");
    this.range.setAttribute("aria-valuetext", this.range.value + "% " + this.titles[0]);
  }
}

const has = (image, key) => key === "image" || (key === "weak" ? image.marked !== null : key in image.labels);
const findPair = (image) => data.pairs.find((pair) => pair.key === form.pair.value)[image.split].find(
  (keys) => keys.every((key) => has(image, key)));
const round = (value) => value.toFixed(2);

// With classes chosen, an image is trusted as far as the least trusted of them.
function trustOf(image) {
  if (!chosen.size) return image.trust;
  const values = [...chosen].map((name) => image.classes[name] ?? null);
  return values.includes(null) ? null : Math.min(...values);
}

function isShown(image) {
  const below = (value, limit) => Number(limit) >= 1 || (value !== null && value <= Number(limit));
  return findPair(image) !== undefined
    && (!form.split.value || image.split === form.split.value)
    && (!form.group.value || image.group === form.group.value)
    && [...chosen].every((name) => name in image.classes)
    && below(image.score, form.score ? form.score.value : 1)
    && below(trustOf(image), form.trust ? form.trust.value : 1);
}

// Images without the value come last, whatever the direction.
function compare(a, b) {
  const [key, direction] = form.sort.value.split(" ");
  if (key === "sample") return a.place - b.place;
  if (key === "name") return a.id < b.id ? -1 : 1;
  const [x, y] = [a, b].map((image) => key === "score" ? image.score : trustOf(image));
  if (x === null || y === null) return (x === null) - (y === null) || a.place - b.place;
  return (direction === "up" ? x - y : y - x) || a.place - b.place;
}

function describe(image) {
  const trust = trustOf(image), whose = chosen.size ? "trust of " + [...chosen].join(", ") : "trust";
  return [
    data.groups[image.group] + " of " + image.split,
    ...(image.score === null ? [] : ["PQ " + round(image.score)]),
    ...(trust === null ? [] : [whose + " " + round(trust)]),
  ];
}

function makeCard(image, place) {
  image.place = place;
  image.frame = new Frame();
  image.note = make("span", { className: "muted" });
  const button = make("button", { type: "button", textContent: "Large" });
  button.setAttribute("aria-label", "Show " + image.id + " large");
  button.addEventListener("click", () => open(shown.indexOf(image)));
  const caption = make("figcaption", { className: "caption" },
    make("span", { className: "id", textContent: image.id, title: image.id }), image.note);
  const view = make("div", { className: "view" }, image.frame.root, button);
  image.card = make("figure", { className: "card" }, view, caption);
  image.card.dataset.id = image.id;
  cards.append(image.card);
}

function update() {
  shown = data.images.filter(isShown).sort(compare);
  for (const image of data.images) image.card.hidden = true;
  for (const image of shown) {
    image.card.hidden = false;
    image.frame.show(image, findPair(image));
    image.note.textContent = describe(image).join(", ");
    cards.append(image.card);
  }
  find("count").textContent = shown.length + " of " + data.images.length + " images";
  find("nothing").hidden = shown.length > 0;
  for (const name of ["score", "trust"]) {
    if (!form[name]) continue;
    const limit = Number(form[name].value);
    find(name + "-value").textContent = limit >= 1 ? "any" : round(limit);
  }
}

const large = new Frame();
find("large-frame").append(large.root);

function open(index) {
  current = index;
  const image = shown[index], keys = findPair(image);
  const views = Object.keys(data.titles).filter((key) => has(image, key));
  ["first", "second"].forEach((side, i) => {
    const select = find(side);
    select.replaceChildren(...views.map((key) => make("option", { value: key, textContent: data.titles[key] })));
    select.value = keys[i];
  });
  find("large-title").textContent = image.id;
  const facts = [...describe(image), ...(image.known ? ["given: " + image.known] : []),
    ...(image.tags.length ? ["tags: " + image.tags.join(", ")] : [])];
  find("large-facts").replaceChildren(...facts.map((text) => make("li", { textContent: text })));
  find("large-classes").replaceChildren(...data.classes.filter((entry) => entry.name in image.classes).map((entry) => {
    const trust = image.classes[entry.name], swatch = make("span", { className: "swatch" });
    swatch.style.background = entry.color;
    return make("li", {}, swatch, entry.name + (trust === null ? "" : ", trust " + round(trust)));
  }));
  find("previous").disabled = index === 0;
  find("next").disabled = index === shown.length - 1;
  large.show(image, keys);
  if (!dialog.open) dialog.showModal();
}

for (const side of ["first", "second"]) {
  find(side).addEventListener("change", () => large.show(shown[current], [find("first").value, find("second").value]));
}
find("previous").addEventListener("click", () => open(current - 1));
find("next").addEventListener("click", () => open(current + 1));
find("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });

for (const button of find("chips").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    const pressed = chosen.has(button.dataset.name);
    if (pressed) chosen.delete(button.dataset.name);
    else chosen.add(button.dataset.name);
    button.setAttribute("aria-pressed", String(!pressed));
    update();
  });
}
for (const name of ["pair", "split", "group", "sort", "score", "trust"]) {
  if (form[name]) form[name].addEventListener("input", update);
}
form.all.addEventListener("input", () => { for (const image of data.images) image.frame.move(form.all.value); });
form.opacity.addEventListener("input", () => document.body.style.setProperty("--opacity", form.opacity.value / 100));
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(() => {
  chosen.clear();
  for (const button of find("chips").querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
  document.body.style.removeProperty("--opacity");
  for (const image of data.images) image.frame.move(50);
  update();
}));

// A phone shows pictures first, and these controls when they are asked for.
find("more").open = matchMedia("(min-width: 60rem)").matches;
data.images.forEach(makeCard);
update();
"""
