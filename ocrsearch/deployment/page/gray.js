"use strict";
/* Conversion of pictures to grey, as ocrsearch/data/images/gray.py converts them. */

const MIN_CONTRAST = 8;
const LOW_CONTRAST = 64;
const LOST_CONTRAST = 24;
const COLOUR_GAIN = 3;
const MAX_SAMPLED = 200_000;

/** Return a picture as a grey image, set upright. */
function toGray(picture) {
  const { width, height, orientation } = picture;
  return upright({ width, height, pixels: grayPixels(picture) }, orientation ?? 1);
}

function grayPixels(picture) {
  if (picture.numbers) return grayOfNumbers(picture.numbers, picture.key);
  const { rgba } = picture;
  let [anyVisible, allOpaque] = [false, true];
  for (let i = 3; i < rgba.length; i += 4) {
    anyVisible ||= rgba[i] > 0;
    allOpaque &&= rgba[i] === 255;
  }
  // an alpha channel that hides everything has no meaning
  if (allOpaque || (!anyVisible && range(brightness(rgba)) >= MIN_CONTRAST)) {
    return brightnessOrColour(rgba);
  }
  const onWhite = composed(rgba, 255);
  if (range(brightness(onWhite)) >= LOW_CONTRAST) return brightnessOrColour(onWhite);
  return clearer(brightnessOrColour(onWhite), inverted(brightness(composed(rgba, 0))));
}

/** Convert numbers of 16 bits; white is guessed from the highest of them. */
function grayOfNumbers(numbers, key) {
  let top = 0;
  let n = 0;
  for (const value of numbers) {
    if (value !== key) [top, n] = [Math.max(top, value), n + 1];
  }
  let white = top <= 255 ? 255 : 65535;
  if (top > 0 && top <= 1) white = 1;
  else if (top > 255 && top < 8192) white = 2 ** (Math.floor(Math.log2(top)) + 1) - 1;
  const factor = 255 / white;
  const gray = Uint8Array.from(numbers, (value) => Math.min(255, value * factor));
  if (n === numbers.length || n === 0) return gray;
  const onWhite = gray.map((value, i) => (numbers[i] === key ? 255 : value));
  return clearer(onWhite, gray.map((value, i) => (numbers[i] === key ? 255 : 255 - value)));
}

function brightness(rgba) {
  const gray = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < gray.length; i++) {
    const at = 4 * i;
    gray[i] = (rgba[at] * 19595 + rgba[at + 1] * 38470 + rgba[at + 2] * 7471 + 0x8000) >> 16;
  }
  return gray;
}

function inverted(gray) {
  return gray.map((value) => 255 - value);
}

/** Return the range of grey levels. */
function range(gray) {
  let [low, high] = [255, 0];
  for (let i = 0; i < gray.length; i++) {
    if (gray[i] < low) low = gray[i];
    if (gray[i] > high) high = gray[i];
  }
  return high - low;
}

function clearer(onWhite, onBlack) {
  return range(onBlack) > 2 * range(onWhite) ? onBlack : onWhite;
}

/** Lay a picture on white (255) or black (0), with the integers of Pillow's alpha_composite. */
function composed(rgba, paper) {
  const found = new Uint8Array(rgba.length).fill(255);
  for (let i = 0; i < rgba.length; i += 4) {
    const own = rgba[i + 3] * 255 * 128;
    const rest = 255 * 128 - Math.floor(own / 255);
    for (let c = 0; c < 3; c++) {
      const sum = rgba[i + c] * (255 * 128 - rest) + paper * rest + (0x80 << 7);
      found[i + c] = ((sum >> 8) + sum) >> 8 >> 7;
    }
  }
  return found;
}

/** Return the brightness or, if it is nearly constant, the colour along its main direction. */
function brightnessOrColour(rgba) {
  const gray = brightness(rgba);
  const step = Math.max(1, Math.floor(gray.length / MAX_SAMPLED));
  const places = Array.from({ length: Math.ceil(gray.length / step) }, (_, i) => i * step);
  const ofBrightness = contrast(places.map((i) => gray[i]));
  if (ofBrightness >= LOST_CONTRAST) return gray;
  const sample = places.map((i) => [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]]);
  let direction = mainDirection(sample);
  const values = sample.map((c) => c[0] * direction[0] + c[1] * direction[1] + c[2] * direction[2]);
  if (contrast(values) < COLOUR_GAIN * Math.max(ofBrightness, MIN_CONTRAST)) return gray;
  let [low, middle, high] = percentiles(values, [1, 50, 99]);
  if (high - middle > middle - low) [direction, high] = [direction.map((v) => -v), -low];
  return projected(rgba, direction, 255 - high);
}

/** Return the projection of colours on a direction, in float32 as Pillow computes it. */
function projected(rgba, direction, shift) {
  const [a, b, c, d] = [...direction, shift].map(Math.fround);
  const gray = new Uint8Array(rgba.length / 4);
  for (let i = 0; i < gray.length; i++) {
    const at = 4 * i;
    let sum = Math.fround(Math.fround(a * rgba[at]) + Math.fround(b * rgba[at + 1]));
    sum = Math.fround(Math.fround(sum + Math.fround(c * rgba[at + 2])) + d);
    gray[i] = Math.max(0, Math.min(255, Math.fround(sum + 0.5)));
  }
  return gray;
}

function contrast(values) {
  const [low, high] = percentiles(values, [1, 99]);
  return high - low;
}

/** Return percentiles with linear interpolation, as NumPy does. */
function percentiles(values, percents) {
  const sorted = Float64Array.from(values).sort();
  return percents.map((percent) => {
    const place = (percent / 100) * (sorted.length - 1);
    const low = Math.floor(place);
    const next = sorted[Math.min(low + 1, sorted.length - 1)];
    const share = place - low;
    const gap = next - sorted[low];
    return share < 0.5 ? sorted[low] + gap * share : next - gap * (1 - share);
  });
}

/** Return the direction of largest variance of colours: the eigenvector of their covariance. */
function mainDirection(sample) {
  const mean = [0, 1, 2].map((c) => sample.reduce((sum, v) => sum + v[c], 0) / sample.length);
  const matrix = [0, 1, 2].map((r) =>
    [0, 1, 2].map((c) => {
      const sum = sample.reduce((s, v) => s + (v[r] - mean[r]) * (v[c] - mean[c]), 0);
      return sum / sample.length;
    }),
  );
  const vectors = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  for (let sweep = 0; sweep < 50; sweep++) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) rotate(matrix, vectors, p, q);
  }
  const best = [0, 1, 2].reduce((a, b) => (matrix[b][b] > matrix[a][a] ? b : a));
  return vectors.map((row) => row[best]);
}

/** Make a symmetric matrix zero at one place by a rotation (Jacobi), and rotate the vectors. */
function rotate(matrix, vectors, p, q) {
  if (matrix[p][q] === 0) return;
  const ratio = (matrix[q][q] - matrix[p][p]) / (2 * matrix[p][q]);
  const tangent = (ratio >= 0 ? 1 : -1) / (Math.abs(ratio) + Math.sqrt(ratio * ratio + 1));
  const cosine = 1 / Math.sqrt(tangent * tangent + 1);
  const sine = tangent * cosine;
  const turn = (rows) => {
    for (const row of rows) {
      [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
    }
  };
  turn(matrix);
  for (let i = 0; i < 3; i++) {
    const [a, b] = [matrix[p][i], matrix[q][i]];
    [matrix[p][i], matrix[q][i]] = [cosine * a - sine * b, sine * a + cosine * b];
  }
  turn(vectors);
}

/** Set an image upright, given its EXIF orientation. */
function upright(image, orientation) {
  const { width, height, pixels } = image;
  if (!(orientation >= 2 && orientation <= 8)) return image;
  const turned = orientation >= 5;
  const found = { width: turned ? height : width, height: turned ? width : height };
  const [right, bottom] = [width - 1, height - 1];
  const source = {
    2: (x, y) => [right - x, y],
    3: (x, y) => [right - x, bottom - y],
    4: (x, y) => [x, bottom - y],
    5: (x, y) => [y, x],
    6: (x, y) => [y, bottom - x],
    7: (x, y) => [right - y, bottom - x],
    8: (x, y) => [right - y, x],
  }[orientation];
  found.pixels = new Uint8Array(pixels.length);
  for (let y = 0; y < found.height; y++) {
    for (let x = 0; x < found.width; x++) {
      const [fromX, fromY] = source(x, y);
      found.pixels[y * found.width + x] = pixels[fromY * width + fromX];
    }
  }
  return found;
}
