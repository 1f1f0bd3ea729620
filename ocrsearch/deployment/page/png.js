"use strict";
/* PNG files, read to the last bit.

   A canvas multiplies colours by their alpha and has 8 bits, so it cannot return the pixels of
   a file with transparency or with 16 bits. A picture is {width, height, rgba}, with four bytes for
   each pixel. A grey image of 16 bits also has its numbers, and key, the number that is
   transparent, or null. */

const MAX_PIXELS = 64_000_000;
const PNG_SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const PNG_CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PNG_DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
/* First column, first row, column step and row step of the passes of an interlaced file. */
const PNG_PASSES = [
  [0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2],
];

class ImageProblem extends Error {}

function isPng(bytes) {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

function checkSize(width, height) {
  if (width * height > MAX_PIXELS) {
    throw new ImageProblem(`${width} x ${height} pixels, at most 64 megapixels; scale it down`);
  }
  if (width < 1 || height < 1) throw new ImageProblem("an empty image");
}

/** Return the picture of a PNG file; its orientation is 1 to 8 as in EXIF. */
async function readPng(bytes) {
  const chunks = pngChunks(bytes);
  const header = pngHeader(chunks.IHDR);
  const samples = await pngSamples(chunks.IDAT, header);
  const orientation = chunks.eXIf ? exifOrientation(chunks.eXIf) : 1;
  return { ...pngPicture(samples, header, chunks), orientation };
}

/** Return the content of each kind of chunk; that of several IDAT chunks is joined. */
function pngChunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = {};
  const data = [];
  for (let place = 8; place + 12 <= bytes.length; ) {
    const size = view.getUint32(place);
    const kind = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    if (place + 12 + size > bytes.length) throw new ImageProblem("damaged, or cut off");
    const content = bytes.subarray(place + 8, place + 8 + size);
    if (kind === "IDAT") data.push(content);
    else if (!(kind in found)) found[kind] = content;
    if (kind === "IEND") break;
    place += 12 + size;
  }
  if (!found.IHDR || found.IHDR.length !== 13 || !data.length) throw new ImageProblem("damaged");
  return { ...found, IDAT: new Blob(data) };
}

function pngHeader(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [depth, kind, interlaced] = [content[8], content[9], content[12] === 1];
  checkSize(width, height);
  if (!(PNG_DEPTHS[kind] ?? []).includes(depth)) throw new ImageProblem("damaged");
  return { width, height, depth, kind, interlaced, channels: PNG_CHANNELS[kind] };
}

/** Return the samples of all pixels, row by row: 8 bits of each, or the 16 bits of grey. */
async function pngSamples(data, header) {
  const { width, height, depth, channels } = header;
  const wide = depth === 16 && header.kind === 0;
  const samples = new (wide ? Uint16Array : Uint8Array)(width * height * channels);
  const passes = (header.interlaced ? PNG_PASSES : [[0, 0, 1, 1]])
    .map(([x, y, stepX, stepY]) => ({
      ...{ x, y, stepX, stepY },
      columns: Math.ceil((width - x) / stepX),
      rows: Math.ceil((height - y) / stepY),
    }))
    .filter((pass) => pass.columns > 0 && pass.rows > 0);
  const lineBytes = (columns) => Math.ceil((columns * channels * depth) / 8);
  const size = passes.reduce((sum, p) => sum + p.rows * (1 + lineBytes(p.columns)), 0);
  const content = await inflated(data, size);
  let place = 0;
  for (const pass of passes) {
    const length = lineBytes(pass.columns);
    let previous = new Uint8Array(length);
    for (let row = 0; row < pass.rows; row++, place += 1 + length) {
      const line = content.subarray(place + 1, place + 1 + length);
      unfilter(content[place], line, previous, Math.max(1, (channels * depth) >> 3));
      placeLine(line, samples, pass, row, header, wide);
      previous = line;
    }
  }
  return samples;
}

/** Return a number of bytes of compressed data. */
async function inflated(data, size) {
  const found = new Uint8Array(size);
  const reader = data.stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let filled = 0;
  try {
    while (filled < size) {
      const { done, value } = await reader.read();
      if (done) break;
      found.set(value.subarray(0, size - filled), filled);
      filled += value.length;
    }
    await reader.cancel();
  } catch {
    throw new ImageProblem("damaged");
  }
  if (filled < size) throw new ImageProblem("damaged, or cut off");
  return found;
}

/** Undo the filter of a line, in place. */
function unfilter(kind, line, previous, step) {
  if (kind > 4) throw new ImageProblem("damaged");
  for (let i = 0; i < line.length && kind > 0; i++) {
    const left = i >= step ? line[i - step] : 0;
    const above = previous[i];
    if (kind === 1) line[i] += left;
    else if (kind === 2) line[i] += above;
    else if (kind === 3) line[i] += (left + above) >> 1;
    else line[i] += paeth(left, above, i >= step ? previous[i - step] : 0);
  }
}

function paeth(left, above, corner) {
  const a = Math.abs(above - corner);
  const b = Math.abs(left - corner);
  const c = Math.abs(left + above - 2 * corner);
  if (a <= b && a <= c) return left;
  return b <= c ? above : corner;
}

/** Put the samples of a line in their places; few bits of grey are spread to 8. */
function placeLine(line, samples, pass, row, { width, depth, channels, kind }, wide) {
  const start = (pass.y + row * pass.stepY) * width + pass.x;
  const spread = kind === 3 ? 1 : 255 / (2 ** Math.min(8, depth) - 1);
  const n = pass.columns * channels;
  if (depth === 8 && pass.stepX === 1) {
    samples.set(line, start * channels);
    return;
  }
  for (let i = 0; i < n; i++) {
    const column = Math.floor(i / channels);
    const target = (start + column * pass.stepX) * channels + (i % channels);
    if (wide) samples[target] = line[2 * i] * 256 + line[2 * i + 1];
    else if (depth === 16) samples[target] = line[2 * i];
    else {
      const bit = i * depth;
      const shift = 8 - depth - (bit & 7);
      samples[target] = ((line[bit >> 3] >> shift) & (2 ** depth - 1)) * spread;
    }
  }
}

/** Return the pixels as colours. A transparent grey or colour is compared as Pillow does. */
function pngPicture(samples, { width, height, depth, kind }, { PLTE, tRNS }) {
  const n = width * height;
  const rgba = new Uint8Array(4 * n).fill(255);
  const key = tRNS && kind in { 0: 1, 2: 1 } ? pngKey(tRNS, kind) : null;
  if (kind === 0 && depth === 16) {
    return { width, height, rgba, numbers: samples, key: key?.[0] ?? null };
  }
  for (let i = 0; i < n; i++) {
    const at = 4 * i;
    if (kind === 3) {
      const index = samples[i];
      for (let c = 0; c < 3; c++) rgba[at + c] = PLTE?.[3 * index + c] ?? 0;
      rgba[at + 3] = tRNS?.[index] ?? 255;
    } else {
      const isColour = kind === 2 || kind === 6;
      const first = i * PNG_CHANNELS[kind];
      for (let c = 0; c < 3; c++) rgba[at + c] = samples[first + (isColour ? c : 0)];
      if (kind >= 4) rgba[at + 3] = samples[first + PNG_CHANNELS[kind] - 1];
      if (key && key.every((value, c) => value === rgba[at + c])) rgba[at + 3] = 0;
    }
  }
  return { width, height, rgba };
}

function pngKey(content, kind) {
  const [red, green, blue] = [0, 2, 4].map((i) => content[i] * 256 + content[i + 1]);
  return kind === 0 ? [red, red, red] : [red, green, blue];
}

/** Return the orientation that EXIF data name, 1 if they name none. */
function exifOrientation(content) {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  try {
    const little = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, little);
    const n = view.getUint16(directory, little);
    for (let i = 0; i < n; i++) {
      const entry = directory + 2 + 12 * i;
      if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut off
  }
  return 1;
}
