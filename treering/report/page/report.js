// The table of all pictures: only the rows in view are there, so that their number does not matter.
"use strict";
(() => {
  const HEIGHT = 36, SPARE = 12, PRINTED = 500;
  const data = JSON.parse(document.getElementById("data").textContent);
  const total = data.file.length;
  const $ = (id) => document.getElementById(id);
  const view = $("rows"), table = $("pictures"), body = table.tBodies[0];
  const heads = [...table.querySelectorAll("th[data-column]")];
  const hasLabels = !heads.find((head) => head.dataset.column === "true").classList.contains("gone");
  let shown = Array.from({ length: total }, (_, row) => row);
  let sorted = { column: "file", up: true };
  let current = 0; // place of the row that the keyboard is at
  let printing = false;

  const word = (column, row) => data[column].words[data[column].codes[row]];
  const called = (text) => (Object.hasOwn(data.names, text) ? data.names[text] : "");
  const named = (text) => (called(text) ? `${text} ${called(text)}` : text);
  const notes = (row) => word("why", row) || word("notes", row);
  const VALUES = {
    file: (row) => row, // rows come sorted by name
    answer: (row) => data.answer.codes[row],
    key: (row) => (word("key", row) ? data.key.codes[row] : null),
    true: (row) => data.true.codes[row],
    p: (row) => data.p[row],
    pose: (row) => (word("pose", row) ? data.pose.codes[row] : null),
    notes: (row) => (notes(row) ? (word("why", row) ? data.why.codes[row] - 1e9 : data.notes.codes[row]) : null),
  };

  // Sorting and filtering

  const SOUGHT = ["why", "notes", "pose", "key"]; // of the key its name alone: "find" is about words
  const lower = { file: null, why: null, notes: null, pose: null, key: null };
  function prepare() {
    if (lower.file) return;
    lower.file = data.file.map((name) => name.toLowerCase());
    for (const column of ["why", "notes", "pose"]) lower[column] = data[column].words.map((text) => text.toLowerCase());
    lower.key = data.key.words.map((text) => called(text).toLowerCase());
  }

  function chosen() {
    const text = $("find").value.trim().toLowerCase();
    const answer = $("answer").value, key = $("key").value.trim(), wrong = $("wrong").checked;
    const code = answer === "" ? -1 : Number(answer);
    if (text) prepare();
    const has = {};
    if (text) for (const column of SOUGHT) has[column] = lower[column].map((one) => one.includes(text));
    const rows = [];
    for (let row = 0; row < total; row++) {
      if (code >= 0 && data.answer.codes[row] !== code) continue;
      if (key !== "" && word("key", row) !== key) continue;
      if (wrong && !data.wrong[row]) continue;
      if (text && !lower.file[row].includes(text) && !SOUGHT.some((column) => has[column][data[column].codes[row]])) continue;
      rows.push(row);
    }
    return rows;
  }

  function ordered(rows) {
    const sign = sorted.up ? 1 : -1, of = VALUES[sorted.column];
    const values = new Float64Array(total), empty = new Uint8Array(total);
    for (const row of rows) {
      const value = of(row);
      if (value === null || value === undefined) empty[row] = 1;
      else values[row] = value;
    }
    return rows.sort((a, b) => empty[a] - empty[b] || sign * (values[a] - values[b]) || a - b);
  }

  function choose() {
    shown = ordered(chosen());
    current = 0;
    view.scrollTop = 0;
    $("count").textContent = shown.length === total ? `${total.toLocaleString()} pictures` : `${shown.length.toLocaleString()} of ${total.toLocaleString()} pictures`;
    table.setAttribute("aria-rowcount", String(shown.length + 1));
    draw();
  }

  // Rows

  function cell(row, text, name) {
    const td = row.insertCell();
    if (name) td.className = name;
    td.textContent = text;
    td.title = text;
    return td;
  }

  function badge(td, text, kind) {
    const span = document.createElement("span");
    span.className = `answer ${kind.replace(" ", "-")}`;
    span.textContent = text;
    td.append(span);
  }

  const number = (value, digits) => (value === null ? "" : value.toFixed(digits));

  function line(place) {
    const row = shown[place], tr = document.createElement("tr"), answer = word("answer", row), key = word("key", row);
    tr.tabIndex = place === current ? 0 : -1;
    tr.dataset.place = String(place);
    tr.setAttribute("aria-rowindex", String(place + 2));
    if (data.wrong[row]) tr.className = "wrong";
    cell(tr, data.file[row]).dir = "auto";
    badge(cell(tr, ""), key ? `${answer} ${key}` : answer, answer);
    cell(tr, named(key));
    cell(tr, named(word("true", row)), hasLabels ? "" : "gone");
    cell(tr, number(data.p[row], 1));
    cell(tr, word("pose", row), "more");
    cell(tr, notes(row), "more");
    return tr;
  }

  function gap(height) {
    const tr = document.createElement("tr"), td = tr.insertCell();
    tr.className = "gap";
    tr.setAttribute("aria-hidden", "true");
    td.colSpan = heads.length;
    td.style.height = `${height}px`;
    return tr;
  }

  let first = -1, last = -1;
  function draw(again = true) {
    const from = printing ? 0 : Math.max(0, Math.floor(view.scrollTop / HEIGHT) - SPARE);
    const to = Math.min(shown.length, printing ? PRINTED : from + Math.ceil(view.clientHeight / HEIGHT) + 2 * SPARE);
    if (!again && from === first && to === last) return;
    [first, last] = [from, to];
    const rows = document.createDocumentFragment();
    if (from) rows.append(gap(from * HEIGHT));
    for (let place = from; place < to; place++) rows.append(line(place));
    if (to < shown.length && !printing) rows.append(gap((shown.length - to) * HEIGHT));
    const focused = body.contains(document.activeElement);
    body.replaceChildren(rows);
    if (focused) focusRow() ?? view.focus({ preventScroll: true });
    // Somewhere to go to with the keyboard, also where the current row is out of view.
    if (!body.querySelector("tr[tabindex='0']")) body.querySelector("tr[tabindex]")?.setAttribute("tabindex", "0");
  }

  function focusRow() {
    const tr = body.querySelector(`tr[data-place="${current}"]`);
    tr?.focus({ preventScroll: true });
    return tr;
  }

  function go(place) {
    current = Math.max(0, Math.min(shown.length - 1, place));
    const top = current * HEIGHT, room = view.clientHeight - HEIGHT;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + HEIGHT > view.scrollTop + room) view.scrollTop = top + HEIGHT - room;
    draw();
    focusRow();
  }

  // One picture

  function tell(place) {
    const row = shown[place], key = word("key", row);
    const parts = [
      ["answer", key ? `${word("answer", row)} ${key}` : word("answer", row)],
      ["name", called(key)],
      ["label", named(word("true", row))],
      ["log10 p", number(data.p[row], 2)],
      ["log10 p, keyring", number(data.pKeyring[row], 2)],
      ["pose undone", word("pose", row)],
      ["stage", word("stage", row)],
      ["reason", word("why", row)],
      ["notes", word("notes", row)],
      ["seconds", number(data.seconds[row], 2)],
      ["SHA-256", data.digest[row] ?? ""],
    ];
    $("detail-title").textContent = data.file[row];
    $("detail-list").replaceChildren(
      ...parts.filter(([, text]) => text).map(([name, text]) => {
        const div = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
        dt.textContent = name;
        dd.textContent = text;
        div.append(dt, dd);
        return div;
      }),
    );
    $("detail").showModal();
  }

  // As CSV; what a spreadsheet would run as a formula begins with an apostrophe.

  function quoted(value) {
    const text = String(value ?? "");
    return `"${(/^[=+@\t\r-]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text).replaceAll('"', '""')}"`;
  }

  function save() {
    const head = ["file", "sha256", "answer", "key", "label", "log10_p", "log10_p_keyring", "pose", "stage", "reason", "notes", "name"];
    const rows = shown.map((row) => [data.file[row], data.digest[row], word("answer", row), word("key", row), word("true", row), data.p[row], data.pKeyring[row], word("pose", row), word("stage", row), word("why", row), word("notes", row), called(word("key", row))]);
    const text = [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text, "\r\n"], { type: "text/csv" }));
    link.download = "treering-report.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // Events

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const column = head.dataset.column;
      sorted = { column, up: sorted.column === column ? !sorted.up : true };
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      choose();
    });
  }
  heads[0].setAttribute("aria-sort", "ascending");

  let waiting = 0;
  const later = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(choose);
  };
  for (const id of ["find", "key"]) $(id).addEventListener("input", later);
  for (const id of ["answer", "wrong"]) $(id).addEventListener("change", later);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("save").addEventListener("click", save);
  view.addEventListener("scroll", () => draw(false), { passive: true });
  addEventListener("resize", () => draw());

  const placeOf = (event) => {
    const tr = event.target.closest("tr[data-place]");
    return tr ? Number(tr.dataset.place) : -1;
  };
  body.addEventListener("click", (event) => {
    const place = placeOf(event);
    if (place < 0) return;
    go(place);
    tell(place);
  });
  body.addEventListener("keydown", (event) => {
    const place = placeOf(event), page = Math.max(1, Math.floor(view.clientHeight / HEIGHT) - 2);
    const steps = { ArrowDown: place + 1, ArrowUp: place - 1, PageDown: place + page, PageUp: place - page, Home: 0, End: shown.length - 1 };
    if (place < 0) return;
    if (event.key === "Enter" || event.key === " ") tell(place);
    else if (event.key in steps) go(steps[event.key]);
    else return;
    event.preventDefault();
  });
  addEventListener("beforeprint", () => {
    printing = true;
    $("print-note").textContent = shown.length > PRINTED ? `The first ${PRINTED} of ${shown.length.toLocaleString()} rows.` : "";
    draw();
  });
  addEventListener("afterprint", () => {
    printing = false;
    draw();
  });

  $("filters").hidden = false;
  choose();
})();
