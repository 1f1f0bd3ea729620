"use strict";
/* The page: images from files, the clipboard or the camera, and the texts read in them.

   Everything from a file or a model is set as text, never as HTML. */

const UNFAMILIAR = 0.5;
const MAX_FILE_BYTES = 8 * MAX_PIXELS;
const MAX_RESULTS = 100;

const element = (id) => document.getElementById(id);
const model = JSON.parse(element("model").textContent);
let network = null;
let stream = null;
let waiting = Promise.resolve();

/** Make an element with a class and children: elements, or texts. */
function made(tag, className, ...children) {
  const found = document.createElement(tag);
  found.className = className;
  found.append(...children);
  return found;
}

function say(text, isProblem = false) {
  element("status").textContent = text;
  element("status").classList.toggle("problem", isProblem);
}

function percent(share) {
  return `${(100 * share).toFixed(share > 0.9995 || share < 0.1 ? 0 : 1)} %`;
}

/** Return the grey image of a file. */
async function grayOfFile(file) {
  if (file.size > MAX_FILE_BYTES) throw new ImageProblem("too large, at most 512 MB");
  const start = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  if (isPng(start)) return toGray(await readPng(new Uint8Array(await file.arrayBuffer())));
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: "none",
    imageOrientation: "from-image",
    premultiplyAlpha: "none",
  }).catch(() => {
    throw new ImageProblem("this browser cannot read it as an image; convert it to PNG or JPEG");
  });
  const { width, height } = bitmap;
  checkSize(width, height);
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return toGray({ width, height, rgba: context.getImageData(0, 0, width, height).data });
}

/** Read files one after the other, and show a result for each. */
function readFiles(files) {
  for (const file of files) {
    waiting = waiting.then(async () => {
      say(`Reading ${file.name} …`);
      try {
        const start = performance.now();
        const prediction = await network.read(await grayOfFile(file));
        showResult(file, prediction, performance.now() - start);
        say(`${file.name}: ${prediction.text || "no text"}`);
      } catch (error) {
        const known = error instanceof ImageProblem || error instanceof ModelProblem;
        showProblem(file.name, known ? error.message : "could not be read");
        if (!known) console.error(error);
      }
    });
  }
  return waiting;
}

function showProblem(name, problem) {
  say(`${name} was not read.`);
  addResult(made("article", "result problem", made("p", "", `${name}: ${problem}`)));
}

function showResult(file, prediction, timeMs) {
  const image = made("img", "");
  image.src = URL.createObjectURL(file);
  image.alt = `The image ${file.name}`;
  const confidence = made("data", "confidence", percent(prediction.confidence));
  confidence.value = prediction.confidence;
  const time = `${timeMs.toFixed(timeMs < 10 ? 1 : 0)} ms`;
  const facts = made("p", "facts", "Confidence ", confidence, ` · ${time} · ${file.name}`);
  if (prediction.check) facts.append(" · ", made("strong", "problem", "Check this text"));
  if (prediction.familiarity < UNFAMILIAR) {
    facts.append(" · The image is unlike those that the model was trained on.");
  }
  const text = made("p", "text", prediction.text);
  if (!prediction.text) {
    const reason = prediction.blank ? "No text: the image has no contrast" : "No text found";
    text.append(made("span", "soft", reason));
  }
  addResult(made("article", "result", made("figure", "", image), text, facts, tiles(prediction)));
}

/** Return the list of characters; the less certain a character is, the stronger its colour. */
function tiles({ characters, symbolConfidences }) {
  const items = characters.map((character, i) => {
    const share = made("data", "", percent(symbolConfidences[i]));
    share.value = symbolConfidences[i];
    const shown = character.trim() ? character : "␣";
    const item = made("li", "", made("span", "character", shown), share);
    item.style.setProperty("--doubt", `${100 * (1 - symbolConfidences[i])}%`);
    return item;
  });
  return made("ol", "characters", ...items);
}

function addResult(article) {
  element("results").prepend(article);
  while (element("results").children.length > MAX_RESULTS) {
    const last = element("results").lastElementChild;
    const image = last.querySelector("img");
    if (image) URL.revokeObjectURL(image.src);
    last.remove();
  }
}

async function openCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: "environment", width: { ideal: 1920 } },
    });
  } catch {
    say("No camera: there is none, or the browser does not allow its use here.", true);
    return;
  }
  element("video").srcObject = stream;
  element("viewer").hidden = false;
  element("take").focus();
}

function closeCamera() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  element("video").srcObject = null;
  element("viewer").hidden = true;
  element("camera").focus();
}

/** Read the part of the camera's image that the frame shows. */
async function takeImage() {
  const video = element("video");
  if (!video.videoWidth) return; // the camera has not started
  const [outer, inner] = [video, element("guide")].map((part) => part.getBoundingClientRect());
  const scale = video.videoWidth / outer.width;
  const [width, height] = [inner.width, inner.height].map((size) => Math.round(size * scale));
  const [left, top] = [inner.left - outer.left, inner.top - outer.top].map((v) => v * scale);
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(video, left, top, width, height, 0, 0, width, height);
  const blob = await canvas.convertToBlob({ type: "image/png" });
  readFiles([new File([blob], "camera", { type: "image/png" })]);
}

function imagesOf(transfer) {
  const files = [...transfer.files];
  if (!files.length) say("That is no image file. Drop or paste an image.", true);
  return files;
}

function listen() {
  element("choose").addEventListener("click", () => element("files").click());
  element("files").addEventListener("change", () => {
    readFiles([...element("files").files]);
    element("files").value = "";
  });
  element("camera").addEventListener("click", openCamera);
  element("take").addEventListener("click", takeImage);
  element("close").addEventListener("click", closeCamera);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && stream) closeCamera();
  });
  addEventListener("paste", (event) => readFiles(imagesOf(event.clipboardData)));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) element("drop").classList.remove("over");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    element("drop").classList.remove("over");
    readFiles(imagesOf(event.dataTransfer));
  });
}

async function start() {
  element("guide").classList.toggle("single", model.output === "one character");
  try {
    network = await Network.open(model);
  } catch (error) {
    console.error(error);
    say("The model could not be loaded. This page needs a browser of 2023 or later.", true);
    return;
  }
  for (const button of document.querySelectorAll("#drop button")) button.disabled = false;
  element("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  listen();
  say("Ready.");
}

start();
