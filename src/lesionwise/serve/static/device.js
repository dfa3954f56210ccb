// Answers on the visitor's own device, for a page that has no service behind it: reading the image by the bundle's
// rule, running the graph with ONNX Runtime, and the decision. page.js shows the answers.
// Every sentence and every threshold comes from the page (#device), which Python wrote from the bundle.
"use strict";

globalThis.device = (() => {
  const facts = JSON.parse(document.getElementById("device").textContent);
  const { text, diagnoses, codes, malignant, sets, size } = facts;
  const say = (key, values = {}) => text[key].replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
  const ceil = (number) => Math.ceil(number - 1e-6);

  // ---- The image rule of lesionwise.data.images, for pixels that the browser has decoded: RGB, a byte each.

  async function decode(file) {
    const options = { imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none" };
    const bitmap = await createImageBitmap(file, options);
    if (Math.min(bitmap.width, bitmap.height) < facts.least_side_px || bitmap.width * bitmap.height > facts.most_pixels) throw new RangeError("size");
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    context.fillStyle = "#fff"; // transparent pixels become white
    context.fillRect(0, 0, bitmap.width, bitmap.height);
    context.drawImage(bitmap, 0, 0);
    const rgba = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const data = new Uint8Array(rgba.length / 4 * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4) {
      data[to++] = rgba[from];
      data[to++] = rgba[from + 1];
      data[to++] = rgba[from + 2];
    }
    return { data, width: bitmap.width, height: bitmap.height, bitmap };
  }

  function fit(image, target = size) {
    const scale = Math.min(image.height / target.height, image.width / target.width);
    const box = { height: target.height * scale, width: target.width * scale };
    const less = Math.min(1, target.height / box.height);
    const least = { height: ceil(image.height * less), width: ceil(image.width * less) };
    const enough = (k) => Math.ceil(image.height * k / 8) >= least.height && Math.ceil(image.width * k / 8) >= least.width;
    return cutAndResize(scaleBlocks(image, [1, 2, 3, 4, 5, 6, 7].find(enough) ?? 8), target);
  }

  // As a JPEG decoder turns blocks of 8 by 8 pixels into k by k; rounded to 32 bits where NumPy rounds.
  function scaleBlocks(image, k) {
    if (k === 8) return image;
    const lines = blockMap(k);
    const { data, width, height } = image;
    const outHeight = Math.ceil(height * k / 8);
    const outWidth = Math.ceil(width * k / 8);
    const tall = new Float32Array(outHeight * width * 3);
    for (let row = 0; row < outHeight; row += 1) {
      const weights = lines[row % k];
      for (let place = 0; place < 8; place += 1) {
        const from = Math.min(height - 1, 8 * Math.floor(row / k) + place) * width * 3;
        for (let x = 0; x < width * 3; x += 1) tall[row * width * 3 + x] += weights[place] * data[from + x];
      }
    }
    const out = new Uint8Array(outHeight * outWidth * 3);
    for (let row = 0; row < outHeight; row += 1) {
      for (let column = 0; column < outWidth; column += 1) {
        for (let color = 0; color < 3; color += 1) {
          let sum = 0;
          for (let place = 0; place < 8; place += 1) {
            const from = Math.min(width - 1, 8 * Math.floor(column / k) + place);
            sum = Math.fround(sum + lines[column % k][place] * tall[(row * width + from) * 3 + color]);
          }
          out[(row * outWidth + column) * 3 + color] = Math.max(0, Math.min(255, Math.fround(sum + 0.5)));
        }
      }
    }
    return { data: out, width: outWidth, height: outHeight };
  }

  function blockMap(k) {
    const each = (length, value) => Array.from({ length }, (_, place) => value(place));
    if (k !== 3 && k < 5) return each(k, (row) => each(8, (place) => (Math.floor(place * k / 8) === row ? k / 8 : 0)));
    const wave = (length, frequency, place) => Math.cos(Math.PI * frequency * (place + 0.5) / length) * Math.sqrt((frequency ? 2 : 1) / length);
    return each(k, (row) => each(8, (place) => Math.fround(Math.sqrt(k / 8) * each(k, (f) => wave(k, f, row) * wave(8, f, place)).reduce((a, b) => a + b))));
  }

  // The centred box of the target's shape, by the antialiased cubic filter of Pillow 13: its fixed-point numbers, bytes
  // between the two passes, and the order of these.
  function cutAndResize(image, target) {
    const { width, height } = image;
    if (width === target.width && height === target.height) return image.data;
    const scale = Math.min(height / target.height, width / target.width);
    const left = Math.max(0, (width - target.width * scale) / 2);
    const top = Math.max(0, (height - target.height * scale) / 2);
    const across = (one) => resize(one, 1, filters(width, left, width - left, target.width));
    const down = (one) => resize(one, one.width, filters(height, top, height - top, target.height));
    const downFirst = target.height < height && 2 * (width - target.width) < height - target.height;
    return (downFirst ? across(down(image)) : down(across(image))).data;
  }

  // Resize along the lines if `apart` is 1, and across them if it is the length of a line.
  function resize({ data, width, height }, apart, kernels) {
    const made = apart === 1 ? { width: kernels.length, height } : { width, height: kernels.length };
    const out = new Uint8ClampedArray(made.width * made.height * 3);
    for (let row = 0, to = 0; row < made.height; row += 1) {
      for (let column = 0; column < made.width; column += 1) {
        const { first, weights } = kernels[apart === 1 ? column : row];
        const from = 3 * (apart === 1 ? row * width + first : first * width + column);
        for (let color = 0; color < 3; color += 1, to += 1) {
          let sum = HALF;
          for (let k = 0, at = from + color; k < weights.length; k += 1, at += 3 * apart) sum += weights[k] * data[at];
          out[to] = Math.floor(sum / ONE);
        }
      }
    }
    return { ...made, data: out };
  }

  const ONE = 2 ** 22;
  const HALF = 2 ** 21;

  function filters(length, from, to, count) {
    const start = Math.fround(from);
    const scale = Math.fround(Math.fround(to) - start) / count;
    const stretch = Math.max(1, scale);
    return Array.from({ length: count }, (_, place) => {
      const centre = start + (place + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
      const end = Math.min(length, Math.trunc(centre + 2 * stretch + 0.5));
      const raw = Array.from({ length: end - first }, (__, k) => cubic((k + first - centre + 0.5) / stretch));
      const sum = raw.reduce((a, b) => a + b);
      return { first, weights: raw.map((weight) => Math.trunc(weight / sum * ONE + Math.sign(weight) * 0.5)) };
    });
  }

  function cubic(x) {
    const far = Math.abs(x);
    if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
    return far < 2 ? ((-0.5 * far + 2.5) * far - 4) * far + 2 : 0;
  }

  // ---- The model

  async function load() {
    ort.env.wasm.numThreads = 1; // more would need headers that static hosts do not send
    ort.env.wasm.wasmPaths = new URL("runtime/", document.baseURI).href;
    const answer = await fetch("model.onnx");
    if (!answer.ok) throw new Error(`model.onnx: ${answer.status}`);
    const content = await answer.arrayBuffer();
    if (crypto.subtle) { // which browsers give to https and this machine alone
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
      const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
      if (found !== facts.sha256) throw new Error(`model.onnx: SHA-256 ${found}`);
    }
    return ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  }

  let session = null;
  let last = Promise.resolve();

  // With a second look at a near tie, as in lesionwise.bundle.second_look.
  async function run(pixels, metadata) {
    const found = await look(pixels, metadata);
    if (!facts.second_look) return found;
    const [largest, second] = [...found.logits].sort((a, b) => b - a);
    const weight = Math.max(0, Math.min(0.5, 1 - (largest - second) / facts.second_look));
    if (weight === 0) return found;
    const mirrored = await look(mirror(pixels), metadata);
    const logits = found.logits.map((own, k) => own + weight * (mirrored.logits[k] - own));
    return { ...found, logits, probabilities: softmax(logits) };
  }

  function mirror(pixels) {
    const out = new Uint8Array(pixels.length);
    for (let pixel = 0; pixel < pixels.length / 3; pixel += 1) {
      const column = pixel % size.width;
      const from = 3 * (pixel - column + size.width - 1 - column);
      out.set(pixels.subarray(from, from + 3), 3 * pixel);
    }
    return out;
  }

  function softmax(logits) {
    const scaled = logits.map((logit, k) => logit * facts.scaling.factor[k] + facts.scaling.offset[k]);
    const most = Math.max(...scaled);
    const odds = scaled.map((logit) => Math.exp(logit - most));
    return odds.map((one) => one / total(odds));
  }

  async function look(pixels, metadata) {
    session ??= load();
    const feeds = { image: new ort.Tensor("uint8", new Uint8Array(pixels), [1, size.height, size.width, 3]) };
    if (metadata) feeds.metadata = new ort.Tensor("float32", metadata, [1, metadata.length]);
    const ready = await session;
    const job = last.catch(() => {}).then(() => ready.run(feeds, facts.outputs)); // one at a time
    last = job;
    const outputs = await job;
    const [probabilities, logits] = [outputs.probabilities, outputs.logits].map((output) => Array.from(output.data));
    return { probabilities, logits, score: outputs.ood_score?.data[0] ?? null };
  }

  function encode(values) {
    if (!facts.metadata.length) return null;
    const known = new Map(values);
    return Float32Array.from(facts.metadata.flatMap((field) => {
      const value = known.get(field.name);
      if (field.words) return field.words.map((word) => Number(word === value));
      return value === undefined ? [0, 0] : [(Number(value) - field.middle) / field.scale, 1];
    }));
  }

  // ---- The decision, as in lesionwise.bundle.decide

  const total = (numbers) => numbers.reduce((a, b) => a + b, 0);
  const rounded = (number) => Number(number.toFixed(6));

  function decide(probabilities, score) {
    if (!probabilities.every(Number.isFinite)) throw new Error("no numbers");
    const top = probabilities.indexOf(Math.max(...probabilities));
    const strange = (k) => {
      if (k === top) return 0;
      if (sets.rule === "lac") return 1 - probabilities[k];
      return Math.min(1, total(probabilities.filter((other) => other > probabilities[k])));
    };
    const held = sets && codes.map((_, k) => strange(k) <= (sets.limits[k] ?? Infinity));
    const open = codes.filter((_, k) => k === top || (held?.[k] && sets.limits[k] !== null));
    const both = held && open.some((code) => malignant.includes(code)) && open.some((code) => !malignant.includes(code));
    const rejected = score !== null && facts.cutoff !== null && !(score < facts.cutoff);
    const ranked = codes.map((_, k) => k).sort((a, b) => probabilities[b] - probabilities[a]);
    const bad = total(codes.map((code, k) => (malignant.includes(code) ? probabilities[k] : 0)));
    return {
      decision: rejected ? "not_a_lesion_image" : both ? "uncertain" : "answer",
      top: codes[top],
      probabilities: Object.fromEntries(codes.map((code, k) => [code, rounded(probabilities[k])])),
      malignant_probability: rounded(bad),
      prediction_set: held && ranked.filter((k) => held[k]).map((k) => codes[k]),
      coverage: sets ? sets.coverage : null,
      ood_score: score === null ? null : rounded(score),
      above_melanoma_threshold: facts.point && probabilities[codes.indexOf("mel")] >= facts.point.threshold,
    };
  }

  // ---- The card of an answer, with the classes and sentences of answer.html

  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, ...children) {
    const made = ["svg", "rect", "image"].includes(name) ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children.flat().filter((child) => child !== null && child !== ""));
    return made;
  }

  const percent = (part) => (part < 0.005 ? "<\u00a01\u00a0%" : part >= 0.995 ? ">\u00a099\u00a0%" : `${(100 * part).toFixed(0)}\u00a0%`);
  const names = (list) => list.map((code) => diagnoses[code].name.toLowerCase()).join(", ");

  function track(...rects) {
    const ground = element("rect", { class: "ground", width: 100, height: 6 });
    return element("svg", { class: "track", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, ground, rects);
  }

  function tagOf(code, result) {
    if (facts.unpromised.includes(code) && code !== result.top) return "no_promise";
    return !result.prediction_set || result.prediction_set.includes(code) || code === result.top ? "in_set" : "out_of_set";
  }

  function bars(result) {
    const ranked = [...codes].sort((a, b) => result.probabilities[b] - result.probabilities[a]);
    const rows = ranked.map((code) => {
      const value = result.probabilities[code];
      const tag = tagOf(code, result);
      const head = element("span", {}, element("span", { class: "name" }, diagnoses[code].name), " ",
        malignant.includes(code) ? element("span", { class: "tag malignant" }, say("malignant_tag")) : "", " ",
        element("span", { class: `tag ${tag}` }, say(`${tag}_tag`)));
      return element("li", {}, element("p", { class: "bar-head" }, head, element("span", { class: "value" }, percent(value))),
        track(element("rect", { class: code, width: Math.max(100 * value, 0.4).toFixed(2), height: 6 })),
        element("p", { class: "about" }, diagnoses[code].about));
    });
    let x = 0;
    const parts = ranked.filter((code) => malignant.includes(code)).map((code) => {
      const width = 100 * result.probabilities[code];
      x += width;
      return element("rect", { class: code, x: (x - width).toFixed(2), width: width.toFixed(2), height: 6 });
    });
    const sum = element("div", { class: "sum" }, element("p", { class: "bar-head" }, element("span", { class: "name" }, say("malignant_sum")),
      element("span", { class: "value" }, percent(result.malignant_probability))), track(parts));
    return element("div", { class: "numbers" }, element("h3", {}, say(facts.calibrated ? "probabilities" : "probabilities_raw")),
      element("ul", { class: "bars" }, rows), sum, element("p", { class: "quiet small" }, say(facts.calibrated ? "calibrated" : "uncalibrated")));
  }

  function notes(result) {
    const section = (title, ...words) => element("section", {}, element("h3", {}, say(title)), element("p", {}, ...words));
    const promised = (result.prediction_set ?? []).filter((code) => !facts.unpromised.includes(code));
    const shown = promised.length ? promised : (result.prediction_set ?? []).slice(0, 1);
    const words = result.prediction_set ? [say("set_words", { names: names(shown), coverage: sets.coverage_text })] : [say("set_none")];
    if (result.prediction_set && facts.unpromised.length) words.push(" ", say("set_no_promise", { names: names(facts.unpromised) }));
    if (!facts.point) return element("div", { class: "notes" }, section("set_title", ...words), section("operating", say("operating_none")));
    const one = (number) => `${(100 * number).toFixed(1)}\u00a0%`;
    const key = result.above_melanoma_threshold ? "operating_above" : "operating_below";
    const strong = element("strong", {}, say(key, { probability: one(result.probabilities.mel), threshold: one(facts.point.threshold) }));
    return element("div", { class: "notes" }, section("set_title", ...words), section("operating", strong, " ", say("operating_worth", facts.point)));
  }

  function help() {
    const lines = ["rejected_lens", "rejected_sharp", "rejected_original"].map((key) => element("li", {}, say(key)));
    return element("div", { class: "numbers" }, element("h3", {}, say("rejected_next")), element("ul", { class: "dashes" }, lines),
      element("p", { class: "quiet small" }, facts.wrongly));
  }

  function picture(image) {
    const { width, height, bitmap } = image;
    const shrink = Math.min(1, 1024 / Math.max(width, height));
    const canvas = element("canvas", { width: Math.max(1, Math.round(width * shrink)), height: Math.max(1, Math.round(height * shrink)) });
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const scale = Math.min(height / size.height, width / size.width) / facts.zoom;
    const box = { x: (width - size.width * scale) / 2, y: (height - size.height * scale) / 2, width: size.width * scale, height: size.height * scale };
    const frames = box.width * box.height > 0.999 * width * height ? [] : ["frame-under", "frame"].map((name) => element("rect", { class: name, ...box }));
    const shown = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": say("alt_picture") },
      element("image", { href: canvas.toDataURL("image/jpeg", 0.85), width, height, preserveAspectRatio: "none" }), frames);
    return element("figure", { class: "picture" }, shown, element("figcaption", { class: "quiet small" }, frames.length ? say("check_view") : ""));
  }

  function check(result, image, values) {
    const line = (kind, ...words) => element("li", { class: kind }, ...words);
    const rejected = result.decision === "not_a_lesion_image";
    const lines = [line("ok", say("check_read", { width: image.width, height: image.height }))];
    if (values.length) lines.push(line("ok", say("check_metadata", { metadata: values.map(([name, value]) => `${text[name].toLowerCase()} ${value}`).join(", ") })));
    if (result.ood_score === null || facts.cutoff === null) lines.push(line("unsure", say("check_none")));
    else {
      const score = say("check_score", { score: result.ood_score.toPrecision(3), cutoff: facts.cutoff.toPrecision(3) });
      lines.push(line(rejected ? "bad" : "ok", say(rejected ? "check_unknown" : "check_known"), " ", element("span", { class: "quiet" }, `(${score})`)));
    }
    return element("div", { class: `check ${result.decision}` }, element("h3", {}, say("input_check")), element("ul", {}, lines));
  }

  function verdict(result, title, file) {
    const word = { answer: "answer", uncertain: "uncertain", not_a_lesion_image: "rejected" }[result.decision];
    const about = diagnoses[result.top];
    const heading = word === "answer" ? say("answer_title", { name: about.name }) : say(`${word}_title`);
    const lead = word === "answer" ? `${say("answer_lead", { percent: percent(result.probabilities[result.top]) })} ${about.about}` : say(`${word}_lead`);
    const phantom = facts.phantom ? [element("strong", {}, `${say("phantom_title")}.`), " "] : [];
    return element("div", { class: "verdict" },
      element("p", { class: "kicker" }, element("span", { class: `chip ${result.decision}` }), `${say(word)} · `, element("span", { class: "file" }, file)),
      element("h2", { id: title, tabindex: -1 }, heading), element("p", { class: "lead" }, lead), element("p", { class: "notice" }, phantom, say("notice")),
      document.getElementById("tools").content.cloneNode(true));
  }

  function actions(record) {
    const json = JSON.stringify(record, null, 2);
    const address = `data:application/json;base64,${btoa(String.fromCharCode(...new TextEncoder().encode(json)))}`;
    const button = (kind, key) => element("button", { type: "button", class: `${kind} needs-script` }, say(key));
    const details = element("details", { class: "json" }, element("summary", {}, say("json")), button("copy", "copy"), element("pre", { tabindex: 0 }, json));
    return element("div", { class: "actions" }, button("print", "print"), element("a", { class: "button", href: address, download: "lesionwise.json" }, `${say("download")} JSON`), details);
  }

  let number = 0;

  async function answer(file, values, name) {
    let image;
    try {
      image = await decode(file);
    } catch (error) {
      throw new Error(say(error instanceof RangeError ? "device_size" : "device_unreadable", { name, megapixels: facts.most_pixels / 1e6 }), { cause: error });
    }
    const started = performance.now();
    let found;
    try {
      found = await run(fit(image), encode(values));
    } catch (error) {
      throw new Error(say("device_failed", { reason: error.message }), { cause: error });
    }
    const result = { ...decide(found.probabilities, found.score), elapsed_ms: Math.round(performance.now() - started) };
    const model = { name: facts.name, sha256: facts.sha256, version: facts.version };
    number += 1;
    const rejected = result.decision === "not_a_lesion_image";
    const brief = { answer: `${diagnoses[result.top].name}, ${percent(result.probabilities[result.top])}`, uncertain: say("uncertain"), not_a_lesion_image: say("rejected_title") };
    const title = `result-${number}-title`;
    const card = element("article", { class: `result ${result.decision}`, id: `result-${number}`, "aria-labelledby": title, "data-short": brief[result.decision] },
      check(result, image, values), verdict(result, title, name),
      element("div", { class: "sides" }, picture(image), rejected ? help() : [bars(result), notes(result)]),
      actions({ results: [result], model }),
      element("p", { class: "quiet small answered" }, say("answered", { ms: result.elapsed_ms, model: facts.name, sha: facts.sha256.slice(0, 12) })));
    if (!rejected) card.dataset.malignant = say("malignant_short", { percent: percent(result.malignant_probability) });
    image.bitmap.close();
    return card;
  }

  return { answer, decode, fit };
})();
