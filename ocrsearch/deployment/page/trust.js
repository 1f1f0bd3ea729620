"use strict";
/* The confidence of a text, as ocrsearch/evaluation/trust.py and familiarity.py compute it. */

const MIN_PROBABILITY = 1e-12;
const MAX_PROBABILITY = 1 - 1e-6;
const PROFILE_HEIGHT_PX = 32;
const PROFILE_OFFSET = 1e-3;

/** Return the calibrated probability of a text. */
function calibrated(probability, trust) {
  if (trust.n === 0) return probability;
  const p = Math.min(MAX_PROBABILITY, Math.max(MIN_PROBABILITY, probability));
  const scaled = (Math.log(p) - Math.log1p(-p)) / trust.temperature;
  return Math.min(MAX_PROBABILITY, 1 / (1 + Math.exp(-scaled)));
}

/** Return how much an image looks like the training images, 0 to 1. */
function familiarityOf(image, familiarity) {
  if (!familiarity) return 1;
  const { mean, whitening, limit } = familiarity;
  const deviations = imageProfile(image).map((value, i) => value - mean[i]);
  const distances = whitening.map((row) => sumOf(row.map((weight, i) => weight * deviations[i])));
  const squared = sumOf(distances.map((distance) => distance * distance));
  return Math.exp(Math.min(0, (limit * limit - squared) / 2));
}

/** Return the profile of a grey image; see ocrsearch/data/images/profile.py. */
function imageProfile(image) {
  const shrunk = shrinkLine(image);
  const { width, height, pixels } = scaleImage(shrunk, PROFILE_HEIGHT_PX, 1);
  const gray = { width, height, values: Array.from(pixels, (value) => value / 255) };
  const differences = [1, 2, 4].flatMap((size) => {
    const blocks = blockMeans(gray, size, size);
    return [meanDifference(blocks, 0, 1), meanDifference(blocks, 1, 0)];
  });
  const ofColumns = deviationOf(blockMeans(gray, 1, height).values);
  const ofRows = deviationOf(blockMeans(gray, width, 1).values);
  const spreads = [deviationOf(gray.values), ...differences, ofColumns, ofRows];
  return [
    Math.log(shrunk.width / shrunk.height),
    ...percentiles(gray.values, [5, 25, 50, 75, 95]),
    ...spreads.map((value) => Math.log(value + PROFILE_OFFSET)),
  ];
}

/** Return the means of blocks of the given size. */
function blockMeans(gray, blockWidth, blockHeight) {
  const [width, height] = [gray.width / blockWidth, gray.height / blockHeight];
  const values = new Array(width * height).fill(0);
  gray.values.forEach((value, i) => {
    const [x, y] = [i % gray.width, Math.floor(i / gray.width)];
    values[Math.floor(y / blockHeight) * width + Math.floor(x / blockWidth)] += value;
  });
  return { width, height, values: values.map((sum) => sum / (blockWidth * blockHeight)) };
}

/** Return the mean absolute difference of values and those at an offset. */
function meanDifference({ width, height, values }, right, down) {
  let sum = 0;
  for (let y = 0; y < height - down; y++) {
    for (let x = 0; x < width - right; x++) {
      sum += Math.abs(values[(y + down) * width + x + right] - values[y * width + x]);
    }
  }
  return sum / ((width - right) * (height - down));
}

function sumOf(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

function deviationOf(values) {
  const mean = sumOf(values) / values.length;
  return Math.sqrt(sumOf(values.map((value) => (value - mean) ** 2)) / values.length);
}
