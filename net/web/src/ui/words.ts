// What to tell the user for each thing that can be wrong, and what to do about it.

import type { connection_state, service_address } from "../stream/connection";
import type { notice } from "./notice";

export const no_webgl_notice: notice = {
  tone: "bad",
  title: "This browser cannot draw the map",
  text: "It offers no WebGL 2. Turn on hardware acceleration in the browser's settings, update the graphics driver, or open " +
        "this page in a current Firefox, Chrome, Edge or Safari.",
};

export const lost_webgl_notice: notice = {
  tone: "bad",
  title: "The graphics card gave up",
  text: "The browser took the drawing context away, which happens after a driver crash or when graphics memory runs out. It " +
        "may come back by itself; if not, reload the page.",
  action: { label: "Reload", run: () => location.reload() },
};

export const no_decoder_notice: notice = {
  tone: "bad",
  title: "The mesh decoder could not be loaded",
  text: "The page needs WebAssembly, which this browser does not have or does not allow here, and all of its own files. " +
        "Reload; if it stays, try another browser, or see whether a proxy withholds something.",
  action: { label: "Reload", run: () => location.reload() },
};

/// Opens the page anew with a token.
export function use_token(token: string): void {
  const page = new URL(location.href);
  page.searchParams.set("token", token);
  if (page.href === location.href) location.reload();
  else location.assign(page);
}

const state_words: Record<Extract<connection_state, { name: "waiting" }>["cause"], (a: service_address,
  detail: string) => Omit<notice, "action">> = {
  no_map: (a) => ({
    ...empty_notice(a),
    title: "Waiting for the first keyframe",
    text: "The service is running, and chooses the voxel size by the first keyframe that it gets. Send it what your SLAM " +
          "system sees; the map appears here by itself.",
  }),
  unreachable: (a) => ({
    tone: "bad",
    title: "The service does not answer",
    text:
      `Nothing answers at ${a.host}. Is it running, and is this the right address?` +
      (a.host === location.host ? ""
        : " A service on another address than this page's talks to it only with a token, or when started with " +
          "\u2011\u2011insecure."),
    code: "tessera serve",
  }),
  token: (a) => token_notice(a),
  foreign: (a) => ({
    tone: "bad",
    title: "The service refuses pages of other sites",
    text: `Open ${a.http}/ itself, or give the service a token (\u2011\u2011token) and open this page with it.`,
  }),
  no_stream: (_a, detail) => ({
    tone: "bad",
    title: "The live stream did not open",
    text: `${capital(detail)}. A proxy between here and the service must pass WebSocket upgrades on /v1/stream.`,
  }),
  lost: (a, detail) => ({ tone: "warn", title: "Connection lost",
    text: `The stream from ${a.host} ended: ${detail}. What was received stays on screen.` }),
  protocol: (_a, detail) => ({
    tone: "bad",
    title: "This page and the service do not understand each other",
    text: `${capital(detail)}. Reload the page so that it comes from the running service; if that does not help, they are of ` +
          `different versions.`,
  }),
  overload: (_a, detail) => ({ tone: "warn", title: "The service has no room right now",
    text: `${capital(detail)}. It will be tried again.` }),
};

const capital = (s: string): string => s.charAt(0).toUpperCase() + s.slice(1);

export function waiting_notice(s: Extract<connection_state,
  { name: "waiting" }>, address: service_address, retry: () => void): notice {
  const words = state_words[s.cause](address, s.detail);
  if (words.ask || s.cause === "no_map") return words;
  const action = s.cause === "protocol" ? { label: "Reload", run: () => location.reload() } : { label: "Try now", run: retry };
  return { ...words, action };
}

/// The question for a token, the same on every page.
export function token_notice(address: service_address): notice {
  return {
    tone: "bad",
    title: address.token ? "The token was refused" : "This service asks for a token",
    text: "Give the token that the service was started with (\u2011\u2011token). It goes into this page's address, as " +
          "?token=…, and is kept nowhere else.",
    ask: { label: "Token", button: "Open", take: use_token },
  };
}

/// The service lacks something (memory, disk): what it says of it.
export function shortage_notice(words: string): notice {
  return {
    tone: "warn",
    title: "The map does not grow",
    text: `${capital(words).replace(/\.?$/, ".")} What is shown stays; keyframes wait with their senders until there is room ` +
          `again.`,
  };
}

/// What to do first: the map is empty and nothing comes.
export function empty_notice(address: service_address): notice {
  const at = address.http, token = address.token ? "YOUR_TOKEN" : "";
  const folder = {
    label: "A folder",
    words: "A folder of colour, depth and poses, as RGB-D cameras write it:",
    code: `${token ? `TESSERA_TOKEN=${token} ` : ""}tessera publish rgbd:FOLDER --to ${at}`,
  };
  return {
    tone: "calm",
    title: "Ready for the first keyframe",
    text: "The service is running and its map is empty. Send it what your SLAM system sees; the map appears here by itself.",
    tabs: [
      {
        label: "Python",
        words: "With the package in net/clients/python:",
        code:
          `import tessera_client\n\nwith tessera_client.connect("${at}"${token ? `, token="${token}"` : ""}) as tessera:\n` +
          "    for number, frame in enumerate(slam):\n        tessera.publish_keyframe(number, frame.pose, frame.points, " +
          "frame.colors)",
      },
      {
        label: "HTTP",
        words: "From any language; docs/protocol.md says what the body holds.",
        code:
          `curl ${at}/v1/keyframes \\\n  -H 'Content-Type: application/vnd.tessera.keyframe' \\\n  -H 'X-Keyframe-Id: 1' \\\n` +
          (token ? `  -H 'Authorization: Bearer ${token}' \\\n` : "") + "  --data-binary @keyframe.bin",
      },
      {
        label: "Shared memory",
        words: "On the same machine, with the service watching a prefix:",
        code: 'tessera serve shm:/my_scan_\n\nimport tessera_client\nwith tessera_client.connect("shm:/my_scan_") as ' +
              'tessera:\n    tessera.publish_keyframe(1, pose, points, colors)',
      },
      ...(at.startsWith("https:") ? [] : [folder]), // the program knows no TLS
    ],
  };
}
