#include "net/server/assets.hpp"

#include <openssl/sha.h>

#include <array>
#include <map>

#include "asset_symbols.inc"

namespace tessera {

namespace {

struct embedded {
  const char* path;
  std::span<const std::byte> plain, gzip;
};

const embedded table[]{
#include "asset_table.inc"
  {nullptr, {}, {}},
};

constexpr std::string_view how_to_build = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Tessera</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}code{background:#8882;padding:.1em .3em}</style>
</head><body><h1>The service runs, without its pages</h1>
<p>This program was built before its web pages were. Build them with <code>make web</code>, then build again with <code>make</code>.</p>
<p>Meanwhile: <a href="v1/map">the map</a>, <a href="v1/regions">its regions</a>, <a href="v1/mesh.glb">its mesh</a>,
<a href="v1/actors">the actors</a>, <a href="metrics">metrics</a>.</p></body></html>
)";

std::string_view content_type_of(std::string_view path) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 15> types{{
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".wasm", "application/wasm"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
    {".webp", "image/webp"},
    {".glb", "model/gltf-binary"},
  }};
  for (auto [extension, type] : types)
    if (path.ends_with(extension))
      return type;
  return "application/octet-stream";
}

asset make(std::string_view path, std::span<const std::byte> plain, std::span<const std::byte> gzip) {
  asset out;
  out.plain = plain;
  if (gzip.size() < plain.size() - plain.size() / 8)
    out.gzip = gzip;
  out.content_type = content_type_of(path);
  // The build names files in assets/ after their content.
  out.immutable = path.starts_with("/assets/");
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(plain.data()), plain.size(), digest.data());
  out.etag = "\"";
  for (size_t i = 0; i < 12; ++i) {
    out.etag += "0123456789abcdef"[digest[i] >> 4];
    out.etag += "0123456789abcdef"[digest[i] & 15];
  }
  out.etag += '"';
  return out;
}

const std::map<std::string_view, asset>& assets() {
  static const auto all = [] {
    std::map<std::string_view, asset> out;
    for (const auto& file : table)
      if (file.path != nullptr)
        out.emplace(file.path, make(file.path, file.plain, file.gzip));
    if (out.empty())
      out.emplace("/index.html", make("/index.html", std::as_bytes(std::span{how_to_build}), {}));
    return out;
  }();
  return all;
}

} // namespace

const asset* find_asset(std::string_view path) {
  if (path == "/")
    path = "/index.html";
  else if (path == "/console")
    path = has_viewer() ? "/console.html" : "/index.html";
  const auto& all = assets();
  auto found = all.find(path);
  return found == all.end() ? nullptr : &found->second;
}

bool has_viewer() {
  return table[0].path != nullptr;
}

} // namespace tessera
