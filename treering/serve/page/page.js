// Pictures go to the server one by one; what comes back is written as text, never as HTML.
"use strict";
(() => {
  const AT_ONCE = 2, TRIES = 20;
  const $ = (id) => document.getElementById(id);
  let token = "", about = { limits: { size: Infinity } }, running = 0;
  const waiting = [];

  const headers = (more = {}) => (token ? { ...more, Authorization: `Bearer ${token}` } : more);
  const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

  function problem(text) {
    $("problem").textContent = text;
    $("problem").hidden = !text;
  }

  async function sentence(response) {
    try {
      return (await response.json()).error || `The server answered ${response.status}.`;
    } catch {
      return `The server answered ${response.status}.`;
    }
  }

  // Who we are to the server

  async function ask() {
    let response;
    try {
      response = await fetch("/v1/about", { headers: headers() });
    } catch {
      return problem("The server cannot be reached.");
    }
    const known = response.ok;
    $("token-form").hidden = known;
    $("drop").hidden = !known;
    if (!known) {
      $("token-problem").textContent = token ? await sentence(response) : "";
      return undefined;
    }
    about = await response.json();
    $("embed").hidden = !about.embed;
    if (about.classes) $("key").max = about.classes - 1;
    return undefined;
  }

  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token").value.trim();
    ask();
  });

  // A picture's card

  function card(file) {
    const item = $("card").content.firstElementChild.cloneNode(true);
    const part = (name) => item.querySelector(name);
    item.classList.add("waiting");
    const name = file.name || "pasted picture";
    part(".file").textContent = name;
    part(".verdict").textContent = "Waiting…";
    const image = part(".given img");
    image.alt = `${name}, as given`;
    image.src = URL.createObjectURL(file);
    image.addEventListener("error", () => { part(".given").hidden = true; });
    $("results").prepend(item);
    return { item, part };
  }

  function state(one, text) {
    one.part(".verdict").textContent = text;
  }

  function finish(one, kind) {
    one.item.classList.remove("waiting");
    one.item.classList.add(kind.replace(" ", "-"));
  }

  function fail(one, text) {
    finish(one, "failed");
    one.part(".given").hidden = true;
    state(one, "This picture could not be read.");
    one.part(".certainty").textContent = text;
  }

  function show(one, result) {
    if (result.error) return fail(one, result.error);
    finish(one, result.answer);
    state(one, result.verdict);
    one.part(".name").textContent = result.name ? `The class is called: ${result.name}` : "";
    one.part(".certainty").textContent = result.certainty || result.reason || "";
    one.part(".pose").textContent = result.pose_text || "";
    one.part(".notes").replaceChildren(...(result.notes || []).map((note) => element("li", note)));
    picture(one, ".found", result.as_found);
    picture(one, ".spectrum", result.spectrum);
    if (result.rings) ["inner", "outer"].forEach((name, i) => one.part(`.${name}`).setAttribute("r", result.rings[i]));
    if (result.log10_p !== undefined) numbers(one, result);
    evidence(one, result);
    return undefined;
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  function picture(one, name, address) {
    if (!address) return;
    one.part(name).hidden = false;
    one.part(`${name} img`).src = address;
  }

  function numbers(one, result) {
    const p = result.answer === "keyring" ? result.log10_p_keyring : result.log10_p;
    const pairs = [["log10 p", p.toFixed(2)], ["log10 p, keyring", result.log10_p_keyring.toFixed(2)], ["found by", result.stage], ["effort", result.effort], ["seconds", result.seconds], ["model", result.model], ["keyring", result.keyring]];
    one.part(".numbers").replaceChildren(...pairs.filter(([, value]) => value !== "" && value != null).flatMap(([name, value]) => [element("dt", name), element("dd", String(value))]));
    one.part("details").hidden = false;
  }

  // What others can check: the very document, as a file

  function evidence(one, result) {
    const part = one.part(".evidence");
    if (result.no_evidence) part.textContent = `There is no evidence to save. ${result.no_evidence}`;
    if (!result.evidence) return;
    const link = element("a", "Save the signed evidence");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(result.evidence, null, 1), "\n"], { type: "application/json" }));
    link.download = `${result.file.replace(/\.[^.]*$/, "").replace(/[^\w-]+/g, "-") || "picture"}.evidence.json`;
    part.replaceChildren(link);
  }

  // Sending

  async function* lines(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part) yield JSON.parse(part);
    }
  }

  async function send(file, one) {
    for (let tried = 0; tried < TRIES; tried++) {
      state(one, "Sending…");
      const form = new FormData();
      form.append("picture", file, file.name || "pasted");
      const response = await fetch(`/v1/detect?spectrum=1&stages=1${about.evidence ? "&evidence=1" : ""}`, { method: "POST", body: form, headers: headers({ Accept: "application/x-ndjson" }) });
      if (response.status === 401) {
        await ask();
        return fail(one, await sentence(response));
      }
      if (response.status !== 429) return response.ok ? follow(response, one) : fail(one, await sentence(response));
      const wait = Number(response.headers.get("Retry-After")) || 2;
      state(one, `${await sentence(response)}`);
      await pause(wait + Math.random());
    }
    return fail(one, "The server had no room for it.");
  }

  async function follow(response, one) {
    for await (const event of lines(response)) {
      if (event.result) return show(one, event.result);
      if (event.error) return fail(one, event.error);
      if (event.says) state(one, event.says);
      if (event.ahead !== undefined) state(one, event.ahead === null ? "Reading…" : event.ahead ? `Waiting: ${event.ahead} before it…` : "Next…");
    }
    return fail(one, "The answer was cut short.");
  }

  async function work() {
    while (running < AT_ONCE && waiting.length) {
      const [file, one] = waiting.shift();
      running++;
      send(file, one).catch(() => fail(one, "The server cannot be reached.")).finally(() => {
        running--;
        tell();
        work();
      });
    }
    tell();
  }

  function tell() {
    const left = running + waiting.length;
    $("state").textContent = left ? `${left} ${left === 1 ? "picture is" : "pictures are"} being read.` : $("results").childElementCount ? "All pictures are read." : "";
  }

  function take(files) {
    const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.(png|jpe?g|webp|gif|bmp|tiff?|avif)$/i.test(file.name));
    problem(pictures.length < files.length ? "Some of these are no pictures, and are left out." : "");
    for (const file of pictures) {
      const one = card(file);
      if (file.size > about.limits.size) fail(one, `It has more than ${about.limits.size} bytes, which this server does not take.`);
      else waiting.push([file, one]);
    }
    work();
  }

  for (const id of ["files", "capture"])
    $(id).addEventListener("change", (event) => {
      take([...event.target.files]);
      event.target.value = "";
    });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
  });
  const over = (on) => $("drop").classList.toggle("over", on);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  addEventListener("dragleave", () => over(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    if (!$("drop").hidden) take([...(event.dataTransfer?.files ?? [])]);
  });

  // A camera, where there is one that a page may use; phones have their own app for it

  let stream = null;
  const touch = matchMedia("(pointer: coarse)").matches;
  if (!touch && navigator.mediaDevices?.getUserMedia) {
    $("camera").hidden = false;
    $("capture-label").hidden = true;
  }
  function stop() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    if ($("shoot").open) $("shoot").close();
  }
  $("camera").addEventListener("click", async () => {
    problem("");
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, facingMode: "environment" } });
    } catch {
      return problem("There is no camera that this page may use.");
    }
    $("video").srcObject = stream;
    return $("shoot").showModal();
  });
  $("close").addEventListener("click", stop);
  $("shoot").addEventListener("close", stop);
  $("shutter").addEventListener("click", () => {
    const video = $("video"), canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      stop();
      if (blob) take([new File([blob], "photo.png", { type: "image/png" })]);
    }, "image/png");
  });

  // Making marked pictures

  $("embed-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("embed-state").textContent = "Making it…";
    const key = Number($("key").value), prompt = $("prompt").value;
    try {
      const response = await fetch("/v1/embed", { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify({ prompt, key }) });
      if (!response.ok) {
        $("embed-state").textContent = await sentence(response);
        return;
      }
      const link = element("a", `key ${key}: save it`), figure = document.createElement("figure"), image = new Image();
      image.src = link.href = URL.createObjectURL(await response.blob());
      image.alt = `A marked picture: ${prompt}`;
      link.download = `key-${key}.png`;
      figure.append(image, link);
      $("made").prepend(figure);
      $("embed-state").textContent = "Done.";
    } catch {
      $("embed-state").textContent = "The server cannot be reached.";
    }
  });

  ask();
})();
