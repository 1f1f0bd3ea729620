"use strict";
/* Decoding, as ocrsearch/models/decoding/ does it: greedily, with the probability of the text.

   Log probabilities are Float32Array. A hypothesis is {ids, confidence, symbolConfidences}. */

class ModelProblem extends Error {}

/** Return the place of the highest of n values from a start, the first of equal ones. */
function argmax(values, start, n) {
  let best = 0;
  for (let i = 0; i < n; i++) {
    if (Number.isNaN(values[start + i])) throw new ModelProblem("The model outputs NaN.");
    if (values[start + i] > values[start + best]) best = i;
  }
  return best;
}

/** Read by CTC: the best symbol at each time step, without repeats and blanks.

    logProbs has a row of n values for each time step, the blank last. The confidence of a symbol
    is the highest probability among its time steps. */
function ctcBestPath(logProbs, n) {
  const ids = [];
  const peaks = [];
  let previous = -1;
  for (let start = 0; start < logProbs.length; start += n) {
    const id = argmax(logProbs, start, n);
    if (id !== n - 1) {
      const peak = logProbs[start + id];
      if (id === previous) {
        peaks.push(Math.max(peaks.pop(), peak));
      } else {
        ids.push(id);
        peaks.push(peak);
      }
    }
    previous = id;
  }
  const confidence = Math.exp(Math.min(0, ctcLogProb(ids, logProbs, n)));
  return { ids, confidence, symbolConfidences: peaks.map(Math.exp) };
}

/** Return the log probability of a text, over all alignments with the time steps. */
function ctcLogProb(ids, logProbs, n) {
  const blank = n - 1;
  const places = [blank, ...ids.flatMap((id) => [id, blank])];
  let scores = places.map(() => -Infinity);
  for (let start = 0; start < logProbs.length; start += n) {
    const isFirst = start === 0;
    scores = places.map((id, i) => {
      const canSkip = i > 1 && id !== blank && id !== places[i - 2];
      const before = isFirst
        ? [i < 2 ? 0 : -Infinity]
        : [scores[i], i > 0 ? scores[i - 1] : -Infinity, canSkip ? scores[i - 2] : -Infinity];
      return logSum(before) + logProbs[start + id];
    });
  }
  return logSum(scores.slice(-2));
}

function logSum(values) {
  const top = Math.max(...values);
  if (top === -Infinity) return top;
  return top + Math.log(values.reduce((sum, value) => sum + Math.exp(value - top), 0));
}

/** Read a single symbol. */
function bestSymbol(logProbs) {
  const id = argmax(logProbs, 0, logProbs.length);
  const confidence = Math.exp(logProbs[id]);
  return { ids: [id], confidence, symbolConfidences: [confidence] };
}

/** Read by a decoder: the best symbol at each step until the end.

    step takes the last id and returns the log probabilities of the next; the begin of a text has
    the id after the end. A text has at most as many symbols as there are time steps. */
async function decoderBestPath(step, endId, nFrames) {
  const ids = [];
  const scores = [];
  let last = endId + 1;
  for (let i = 0; last !== endId; i++) {
    const logProbs = await step(last);
    const best = argmax(logProbs, 0, logProbs.length);
    last = i < nFrames ? best : endId;
    scores.push(logProbs[last]);
    if (last !== endId) ids.push(last);
  }
  const confidence = scores.reduce((product, score) => product * Math.exp(score), 1);
  return { ids, confidence, symbolConfidences: ids.map((_, i) => Math.exp(scores[i])) };
}
