#include "messages/archive.hpp"

#include <array>

namespace tessera::detail {

namespace {

constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> out{};
  for (auto& v : out)
    v = -1;
  for (int i = 0; i < 64; ++i)
    out[static_cast<unsigned char>(alphabet[i])] = static_cast<int8_t>(i);
  return out;
}

constexpr auto values = make_values();

} // namespace

std::string to_base64(std::span<const std::byte> bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto n = std::min<size_t>(3, bytes.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (k < n ? static_cast<uint32_t>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k)
      out += k <= n ? alphabet[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::vector<std::byte> from_base64(const std::string& text) {
  if (text.size() % 4 != 0)
    throw archive_error("base64 of " + std::to_string(text.size()) + " characters, not a multiple of 4");
  std::vector<std::byte> out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const auto last = i + 4 == text.size();
    const size_t padding = last ? (text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0) : 0;
    uint32_t bits = 0;
    for (size_t k = 0; k < 4; ++k) {
      const auto v = k + padding >= 4 ? 0 : values[static_cast<unsigned char>(text[i + k])];
      if (v < 0)
        throw archive_error("base64 has a character that does not belong there, at " + std::to_string(i + k));
      bits = bits << 6 | static_cast<uint32_t>(v);
    }
    for (size_t k = 0; k + padding < 3; ++k)
      out.push_back(static_cast<std::byte>(bits >> (16 - 8 * k) & 255));
  }
  return out;
}

} // namespace tessera::detail
