"use strict";
/* Scaling of grey images, with the results of OpenCV's resize: INTER_AREA and INTER_LINEAR.

   A grey image is {width, height, pixels}: Uint8Array, row by row, 0 black and 255 white. */

const FRAME_STRIDE = 4;
const MAX_WIDTH_PX = 4096;
const MAX_STORED_HEIGHT_PX = 128;

/** Round to the nearest integer, halves to even, as Python and OpenCV do. */
function roundToEven(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/** Shrink an image that is taller than any network reads; see reading.py: shrink_line. */
function shrinkLine(image) {
  if (image.height <= MAX_STORED_HEIGHT_PX) return image;
  const width = Math.max(1, roundToEven((image.width * MAX_STORED_HEIGHT_PX) / image.height));
  return resizeArea(image, width, MAX_STORED_HEIGHT_PX);
}

/** Scale an image to the height of the network, and to a width of whole time steps. */
function scaleImage(image, height, widthScale) {
  const exact = ((image.width * height) / image.height) * widthScale;
  const frames = Math.max(2, roundToEven(exact / FRAME_STRIDE));
  const width = Math.min(frames * FRAME_STRIDE, MAX_WIDTH_PX);
  const shrinks = width * height < image.width * image.height;
  return shrinks ? resizeArea(image, width, height) : resizeLinear(image, width, height, false);
}

function resizeArea(image, width, height) {
  if (width === image.width && height === image.height) return image;
  const scaleX = 1 / (width / image.width);
  const scaleY = 1 / (height / image.height);
  if (scaleX < 1 || scaleY < 1) return resizeLinear(image, width, height, true);
  const isWhole = (scale) => Math.abs(scale - roundToEven(scale)) < Number.EPSILON;
  if (isWhole(scaleX) && isWhole(scaleY)) {
    return resizeByBlocks(image, width, height, roundToEven(scaleX), roundToEven(scaleY));
  }
  const columns = areaWeights(image.width, width, scaleX);
  const rows = areaWeights(image.height, height, scaleY);
  const line = new Float32Array(width);
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y++) {
    const sum = new Float32Array(width);
    rows[y].forEach(([sourceY, beta], i) => {
      sumColumns(image, sourceY, columns, line);
      for (let x = 0; x < width; x++) {
        const part = Math.fround(beta * line[x]);
        sum[x] = i === 0 ? part : sum[x] + part;
      }
    });
    for (let x = 0; x < width; x++) pixels[y * width + x] = clampRounded(sum[x]);
  }
  return { width, height, pixels };
}

function sumColumns(image, y, columns, line) {
  const start = y * image.width;
  for (let x = 0; x < line.length; x++) {
    let sum = 0;
    for (const [sourceX, alpha] of columns[x]) {
      sum = Math.fround(sum + Math.fround(image.pixels[start + sourceX] * alpha));
    }
    line[x] = sum;
  }
}

/** Return for each pixel of the result the source pixels below it, with float32 weights. */
function areaWeights(sourceSize, size, scale) {
  const weights = [];
  for (let i = 0; i < size; i++) {
    const start = i * scale;
    const end = start + scale;
    const cell = Math.min(scale, sourceSize - start);
    const last = Math.min(Math.floor(end), sourceSize - 1);
    const first = Math.min(Math.ceil(start), last);
    const parts = [];
    if (first - start > 1e-3) parts.push([first - 1, Math.fround((first - start) / cell)]);
    for (let s = first; s < last; s++) parts.push([s, Math.fround(1 / cell)]);
    if (end - last > 1e-3) {
      parts.push([last, Math.fround(Math.min(Math.min(end - last, 1), cell) / cell)]);
    }
    weights.push(parts);
  }
  return weights;
}

/** Shrink by whole factors: the mean of each block. */
function resizeByBlocks(image, width, height, factorX, factorY) {
  const pixels = new Uint8Array(width * height);
  const scale = Math.fround(1 / (factorX * factorY));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let dy = 0; dy < factorY; dy++) {
        const start = (y * factorY + dy) * image.width + x * factorX;
        for (let dx = 0; dx < factorX; dx++) sum += image.pixels[start + dx];
      }
      const isSquare = factorX === 2 && factorY === 2;
      pixels[y * width + x] = isSquare ? (sum + 2) >> 2 : clampRounded(Math.fround(sum * scale));
    }
  }
  return { width, height, pixels };
}

function clampRounded(value) {
  return Math.max(0, Math.min(255, roundToEven(value)));
}

/** Interpolate linearly, with weights of 11 bits as OpenCV. */
function resizeLinear(image, width, height, isArea) {
  if (width === image.width && height === image.height) return image;
  const columns = linearWeights(image.width, width, isArea, true);
  const rows = linearWeights(image.height, height, isArea, false);
  const pixels = new Uint8Array(width * height);
  const mixed = (sourceY, x) => {
    const [left, right, a, b] = columns[x];
    const start = sourceY * image.width;
    return image.pixels[start + left] * a + image.pixels[start + right] * b;
  };
  for (let y = 0; y < height; y++) {
    const [top, bottom, a, b] = rows[y];
    for (let x = 0; x < width; x++) {
      const sum = ((a * (mixed(top, x) >> 4)) >> 16) + ((b * (mixed(bottom, x) >> 4)) >> 16);
      pixels[y * width + x] = (sum + 2) >> 2;
    }
  }
  return { width, height, pixels };
}

/** Return for each pixel of the result two source pixels and their weights, out of 2048. */
function linearWeights(sourceSize, size, isArea, isAcross) {
  const inverse = size / sourceSize;
  const scale = 1 / inverse;
  const weights = [];
  for (let i = 0; i < size; i++) {
    let place, share;
    if (isArea) {
      place = Math.floor(i * scale);
      share = Math.fround(i + 1 - (place + 1) * inverse);
      share = share <= 0 ? 0 : Math.fround(share - Math.floor(share));
    } else {
      share = Math.fround((i + 0.5) * scale - 0.5);
      place = Math.floor(share);
      share = Math.fround(share - place);
    }
    if (isAcross) {
      if (place < 0) [place, share] = [0, 0];
      if (place >= sourceSize - 1) [place, share] = [sourceSize - 1, 0];
    }
    const inside = (s) => Math.max(0, Math.min(sourceSize - 1, s));
    const a = roundToEven(Math.fround(Math.fround(1 - share) * 2048));
    const b = roundToEven(Math.fround(share * 2048));
    weights.push([inside(place), inside(place + 1), a, b]);
  }
  return weights;
}
