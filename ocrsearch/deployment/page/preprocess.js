"use strict";
/* Preprocessing of images, as ocrsearch/data/images/lines.py does it. The page is not written for
   models that need the steps missing here: removal of ruling lines, and local contrast (CLAHE). */

const SATURATED_SHARE = 0.005;
const MIN_RANGE = 8;
const SAUVOLA_K = 0.2;
const SAUVOLA_R = 128;
const CROP_MARGIN = 0.125;
const MIN_CROP_HEIGHT = 1 / 3;

/** Return an image as the network reads it. */
function prepareImage(image, config) {
  const prepared = preprocess(shrinkLine(image), config.preprocess);
  return scaleImage(prepared, config.height, config.width_scale);
}

function preprocess(image, steps) {
  const isLight = inkIsLight(image);
  const turned = (other) => ({ ...other, pixels: inverted(other.pixels) });
  if (isLight) image = turned(image);
  if (steps.crop) image = cropToInk(image);
  if (steps.contrast === "stretch") image = stretchContrast(image);
  if (steps.threshold > 0) image = thresholdInk(image, steps.threshold);
  image = addMargin(image, roundToEven(steps.margin * image.height));
  return isLight && !steps.normalize_polarity ? turned(image) : image;
}

/** Return the lowest and highest grey level without SATURATED_SHARE, and the median. */
function grayEnds({ pixels }) {
  const counts = new Array(256).fill(0);
  for (const value of pixels) counts[value]++;
  for (let i = 1; i < 256; i++) counts[i] += counts[i - 1];
  const shares = [SATURATED_SHARE, 1 - SATURATED_SHARE, 0.5];
  return shares.map((share) => counts.findIndex((count) => count >= share * pixels.length));
}

function inkIsLight(image) {
  const [low, high, median] = grayEnds(image);
  return high - low >= MIN_RANGE && 2 * median < low + high;
}

function stretchContrast(image) {
  const [low, high] = grayEnds(image);
  if (high - low < MIN_RANGE) return image;
  const factor = 255 / (high - low);
  const level = (value) => Math.max(0, Math.min(255, (value - low) * factor));
  return { ...image, pixels: image.pixels.map(level) };
}

/** Return 1 for ink and 0 elsewhere: Sauvola's local threshold, in float32. */
function inkMask(image) {
  const { width, height } = image;
  const { pixels } = stretchContrast(image);
  const side = Math.max(15, height >> 1) | 1;
  const sums = boxSums(pixels, width, height, side >> 1, (value) => value);
  const squares = boxSums(pixels, width, height, side >> 1, (value) => value * value);
  const { fround } = Math;
  const scale = 1 / (side * side);
  return pixels.map((value, i) => {
    const mean = fround(sums[i] * scale);
    const variance = fround(fround(squares[i] * scale) - fround(mean * mean));
    const deviation = fround(Math.sqrt(Math.max(variance, 0)));
    const factor = fround(fround(SAUVOLA_K) * fround(fround(deviation / SAUVOLA_R) - 1));
    return value < fround(mean * fround(1 + factor)) ? 1 : 0;
  });
}

/** Return the sums over the square around each pixel; the border repeats beyond the image. */
function boxSums(pixels, width, height, radius, value) {
  const rows = new Float64Array(pixels.length);
  const sums = new Float64Array(pixels.length);
  const inside = (place, size) => Math.max(0, Math.min(size - 1, place));
  for (let y = 0; y < height; y++) {
    const at = (x) => value(pixels[y * width + inside(x, width)]);
    let sum = 0;
    for (let x = -radius; x <= radius; x++) sum += at(x);
    for (let x = 0; x < width; x++) {
      rows[y * width + x] = sum;
      sum += at(x + radius + 1) - at(x - radius);
    }
  }
  for (let x = 0; x < width; x++) {
    const at = (y) => rows[inside(y, height) * width + x];
    let sum = 0;
    for (let y = -radius; y <= radius; y++) sum += at(y);
    for (let y = 0; y < height; y++) {
      sums[y * width + x] = sum;
      sum += at(y + radius + 1) - at(y - radius);
    }
  }
  return sums;
}

/** Return the box of all ink but specks, with exclusive ends; the whole image without ink. */
function inkBox(image) {
  const { width, height } = image;
  const mask = inkMask(image);
  const least = Math.max(3, (height / 24) ** 2);
  const box = { left: width, top: height, right: 0, bottom: 0 };
  for (let start = 0; start < mask.length; start++) {
    if (mask[start] !== 1) continue;
    const part = takePart(mask, width, height, start);
    if (part.area < least) continue;
    for (const side of ["left", "top"]) box[side] = Math.min(box[side], part[side]);
    for (const side of ["right", "bottom"]) box[side] = Math.max(box[side], part[side]);
  }
  return box.right > 0 ? box : { left: 0, top: 0, right: width, bottom: height };
}

/** Remove a connected part, in eight directions, from a mask; return its area and its box. */
function takePart(mask, width, height, start) {
  const part = { area: 0, left: width, top: height, right: 0, bottom: 0 };
  const waiting = [start];
  mask[start] = 0;
  while (waiting.length) {
    const place = waiting.pop();
    const [x, y] = [place % width, Math.floor(place / width)];
    part.area++;
    [part.left, part.top] = [Math.min(part.left, x), Math.min(part.top, y)];
    [part.right, part.bottom] = [Math.max(part.right, x + 1), Math.max(part.bottom, y + 1)];
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
        if (mask[ny * width + nx] !== 1) continue;
        mask[ny * width + nx] = 0;
        waiting.push(ny * width + nx);
      }
    }
  }
  return part;
}

function cropToInk(image) {
  const box = inkBox(image);
  const inkHeight = box.bottom - box.top;
  const missing = MIN_CROP_HEIGHT * image.height - inkHeight;
  const margin = Math.ceil(Math.max(1, CROP_MARGIN * inkHeight, missing / 2));
  const [left, top] = [Math.max(0, box.left - margin), Math.max(0, box.top - margin)];
  const width = Math.min(image.width, box.right + margin) - left;
  const height = Math.min(image.height, box.bottom + margin) - top;
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const start = (top + y) * image.width + left;
    pixels.set(image.pixels.subarray(start, start + width), y * width);
  }
  return { width, height, pixels };
}

/** Blend an image with its black and white version. */
function thresholdInk(image, share) {
  const mask = inkMask(image);
  const [own, rest] = [Math.fround(share), Math.fround(1 - share)];
  const pixels = image.pixels.map((value, i) => {
    const paper = mask[i] ? 0 : Math.fround(255 * own);
    return roundToEven(Math.fround(Math.fround(value * rest) + paper));
  });
  return { ...image, pixels };
}

/** Repeat the outermost columns on both sides. */
function addMargin(image, margin) {
  if (margin === 0) return image;
  const width = image.width + 2 * margin;
  const pixels = new Uint8Array(width * image.height);
  for (let y = 0; y < image.height; y++) {
    const row = image.pixels.subarray(y * image.width, (y + 1) * image.width);
    const start = y * width;
    pixels.fill(row[0], start, start + margin);
    pixels.set(row, start + margin);
    pixels.fill(row[row.length - 1], start + margin + row.length, start + width);
  }
  return { width, height: image.height, pixels };
}
