"use strict";
/* The network: its graphs, computed by ONNX Runtime, and images read with them. */

/** Return the bytes of a base64 text in the page. */
function embedded(id) {
  const text = atob(document.getElementById(id).textContent.trim());
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Prepare ONNX Runtime: its parts come from the page, since a local page may load no files. */
async function startRuntime() {
  const loader = new Blob([embedded("runtime-loader")], { type: "text/javascript" });
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more would need a server with special headers
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(loader) };
  ort.env.wasm.wasmBinary = await unzipped(embedded("runtime-wasm"));
}

class Network {
  /** Load the graphs of a model; model is the content of the element "model". */
  static async open(model) {
    await startRuntime();
    const network = new Network();
    network.model = model;
    network.graphs = {};
    for (const name of model.graphs) {
      network.graphs[name] = await ort.InferenceSession.create(embedded(`graph-${name}`), {
        executionProviders: ["wasm"],
        logSeverityLevel: 4,
      });
    }
    const width = 4 * FRAME_STRIDE;
    const { height } = model.images;
    await network.readPrepared({ width, height, pixels: new Uint8Array(width * height) });
    return network;
  }

  /** Read a grey image; see Prediction in ocrsearch/inference/predictor.py. */
  async read(image) {
    const { images, symbols, trust } = this.model;
    const shrunk = shrinkLine(image);
    const lowest = trust.threshold?.confidence ?? 0;
    if (range(shrunk.pixels) < MIN_CONTRAST) {
      const check = lowest > 0;
      return { text: "", confidence: 0, characters: [], blank: true, familiarity: 1, check };
    }
    const found = await this.readPrepared(prepareImage(shrunk, images));
    const characters = found.ids.map((id) => symbols[id]);
    const text = characters.join("");
    const familiarity = familiarityOf(shrunk, trust.familiarity);
    const confidence = text ? calibrated(found.confidence, trust) * familiarity : 0;
    const check = confidence < lowest;
    return { ...found, text, confidence, characters, blank: false, familiarity, check };
  }

  /** Return the hypothesis for an image that prepareImage returned. */
  async readPrepared({ width, height, pixels }) {
    const output = await this.graphs.main.run({
      images: new ort.Tensor("uint8", pixels, [1, height, width]),
      widths: integers(width),
    });
    if (this.model.output === "decoder") return this.decode(output, width / FRAME_STRIDE);
    const { data, dims } = output.log_probs;
    return this.model.output === "ctc" ? ctcBestPath(data, dims[2]) : bestSymbol(data);
  }

  /** Let the decoder write the text of an encoded image. */
  decode(encoded, nFrames) {
    const graph = this.graphs.step;
    const { hidden } = encoded;
    const zeros = (dims) =>
      new ort.Tensor("float32", new Float32Array(dims.reduce((a, b) => a * b)), dims);
    const all = {
      ...{ lines: integers(0), slots: integers(0), n_places: integers(1) },
      ...{ lengths: integers(nFrames), values: encoded.values, keys: encoded.keys },
      ...{ hidden, cell: zeros(hidden.dims), past: zeros([1, 2, nFrames]) },
    };
    const wanted = graph.inputNames.filter((name) => name in all);
    const inputs = Object.fromEntries(wanted.map((name) => [name, all[name]]));
    const step = async (id) => {
      const found = await graph.run({ ...inputs, ids: integers(id) });
      for (const name of ["hidden", "cell", "past"]) {
        if (name in inputs) inputs[name] = found[`next_${name}`];
      }
      return found.log_probs.data;
    };
    return decoderBestPath(step, this.model.symbols.length, nFrames);
  }
}

/** Return a tensor of one integer. */
function integers(value) {
  return new ort.Tensor("int64", [BigInt(value)], [1]);
}
