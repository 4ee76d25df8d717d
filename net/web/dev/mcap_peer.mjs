// What another program makes of a recording, with the library that Foxglove's own tools use: for tests/e2e/test_recordings.py.
//   node dev/mcap_peer.mjs read FILE                          says as JSON what is in it, read from its index and as a stream
//   node dev/mcap_peer.mjs write FROM TO PACKING CHUNK_BYTES  writes its messages anew (none or zstd), and some of its own
import { readFile, writeFile } from "node:fs/promises";
import { McapIndexedReader, McapStreamReader, McapWriter } from "@mcap/core";
import { loadDecompressHandlers, protobufFromBinaryDescriptor } from "@mcap/support";
import zstd from "@foxglove/wasm-zstd";

const decompressHandlers = await loadDecompressHandlers();

function readable(bytes) {
  return {
    size: async () => BigInt(bytes.byteLength),
    read: async (offset, length) => bytes.subarray(Number(offset), Number(offset + length)),
  };
}

/// Schemas, channels and messages in the order of the file; a checksum that is wrong throws.
function* streamed(bytes) {
  const reader = new McapStreamReader({ decompressHandlers, validateCrcs: true });
  reader.append(bytes);
  for (let record; (record = reader.nextRecord()); ) {
    if (record.type === "DataEnd") return;
    if (["Schema", "Channel", "Message"].includes(record.type)) yield record;
  }
}

/// What a message is, by the descriptors that the file has of it, and nothing else.
function decoded(schema, data) {
  const type = protobufFromBinaryDescriptor(schema.data).lookupType(schema.name);
  return type.toObject(type.decode(data), { longs: String, bytes: Array, enums: String, defaults: true });
}

/// The first point as a viewer finds it: by the names and offsets of the fields.
function first_point(cloud) {
  const view = new DataView(Uint8Array.from(cloud.data).buffer);
  const sizes = { FLOAT32: (at) => view.getFloat32(at, true), UINT8: (at) => view.getUint8(at) };
  return view.byteLength === 0 ? {} : Object.fromEntries(cloud.fields.map((f) => [f.name, sizes[f.type](f.offset ?? 0)]));
}

async function read(file) {
  const bytes = new Uint8Array(await readFile(file));
  const indexed = await McapIndexedReader.Initialize({ readable: readable(bytes), decompressHandlers });
  const inputs = [];
  for await (const message of indexed.readMessages({ validateCrcs: true })) {
    const channel = indexed.channelsById.get(message.channelId);
    const schema = indexed.schemasById.get(channel.schemaId);
    const what = decoded(schema, message.data);
    if (schema.name === "foxglove.PointCloud") {
      what.points = what.data.length / what.point_stride;
      what.first = first_point(what);
      delete what.data;
    }
    inputs.push({ topic: channel.topic, schema: schema.name, log_ns: String(message.logTime), what });
  }
  let messages = 0;
  for (const record of streamed(bytes)) messages += record.type === "Message";
  const statistics = indexed.statistics;
  return {
    library: indexed.header.library,
    messages: Number(statistics.messageCount),
    chunks: statistics.chunkCount,
    compression: [...new Set(indexed.chunkIndexes.map((chunk) => chunk.compression))],
    streamed: messages,
    inputs,
  };
}

async function write(from, to, packing, chunk_bytes) {
  const parts = [];
  let size = 0n;
  const writer = new McapWriter({
    writable: {
      position: () => size,
      write: async (bytes) => {
        parts.push(Buffer.from(bytes));
        size += BigInt(bytes.byteLength);
      },
    },
    chunkSize: Number(chunk_bytes),
    compressChunk: packing === "zstd" ? (data) => ({ compression: "zstd", compressedData: zstd.compress(data, 3) }) : undefined,
  });
  await zstd.isLoaded;
  await writer.start({ profile: "", library: "another program" });
  const metadata = new Map([["of", "us"]]);
  const log = await writer.registerChannel({ schemaId: 0, topic: "/log", messageEncoding: "json", metadata });
  const schemas = new Map(), channels = new Map();
  for (const record of streamed(new Uint8Array(await readFile(from))))
    if (record.type === "Schema") {
      if (!schemas.has(record.id)) schemas.set(record.id, await writer.registerSchema(record));
    } else if (record.type === "Channel") {
      if (!channels.has(record.id))
        channels.set(record.id, await writer.registerChannel({ ...record, schemaId: schemas.get(record.schemaId) }));
    } else {
      await writer.addMessage({ ...record, channelId: channels.get(record.channelId) });
      await writer.addMessage({ ...record, channelId: log, data: Buffer.from("{}") });
    }
  await writer.addMetadata({ name: "map", metadata: new Map([["robot", "7"]]) });
  await writer.end();
  await writeFile(to, Buffer.concat(parts));
  return { bytes: Number(size) };
}

const [, , action, ...rest] = process.argv;
console.log(JSON.stringify(await { read, write }[action](...rest)));
