#pragma once
// Cereal archives of all messages: portable binary for files and journals, JSON for people. Reads the table of fields.hpp.
// Nothing that is loaded is trusted: lengths are only believed as far as there are bytes, and whatever is wrong throws
// archive_error; std::bad_alloc, that there is no memory now.

#include "messages/fields.hpp"
#include "messages/json_depth.hpp"

#include <cereal/archives/json.hpp>
#include <cereal/archives/portable_binary.hpp>

#include <algorithm>
#include <cstddef>
#include <new>
#include <span>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>

namespace tessera {

/// A buffer that is not what it should be: truncated, corrupted, too long or too deep.
class archive_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

namespace detail {

/// Longest list in an archive, bytes in memory.
inline constexpr uint64_t max_archive_list = uint64_t{1} << 30;

/// Deepest JSON that the parser, which recurses, is given.
inline constexpr int max_json_depth = 32;

std::string to_base64(std::span<const std::byte> bytes);
/// Throws archive_error for anything that is not whole base64.
std::vector<std::byte> from_base64(const std::string& text);

template <class Archive>
inline constexpr bool is_text = cereal::traits::is_text_archive<Archive>::value;

/// A list of messages.
template <class V>
struct list_ref {
  V& items;
};

/// A string, in binary: cereal would believe its length.
template <class S>
struct string_ref {
  S& text;
};

template <class T>
inline constexpr bool is_message_list = false;
template <class T>
requires has_fields<T>
inline constexpr bool is_message_list<std::vector<T>> = true;

/// A truth value, in binary: any byte but 0 and 1 is refused.
template <class B>
struct flag_ref {
  B& value;
};

/// Reads or writes one field under its name.
template <class Archive, class T>
void archive_field(Archive& ar, const char* name, T& value) {
  using plain = std::remove_const_t<T>;
  if constexpr (is_message_list<plain>) {
    list_ref<T> list{value};
    ar(cereal::make_nvp(name, list));
  } else if constexpr (std::is_same_v<plain, std::string> && !is_text<Archive>) {
    string_ref<T> text{value};
    ar(cereal::make_nvp(name, text));
  } else if constexpr (std::is_same_v<plain, bool> && !is_text<Archive>) {
    flag_ref<T> flag{value};
    ar(cereal::make_nvp(name, flag));
  } else {
    ar(cereal::make_nvp(name, value));
  }
}

template <class Archive, class T>
void save_bulk_archive(Archive& ar, std::span<const T> items) {
  if constexpr (is_text<Archive>) {
    auto text = to_base64(std::as_bytes(items));
    ar(cereal::make_nvp("base64", text));
  } else {
    ar(uint64_t{items.size()});
    ar(cereal::binary_data(reinterpret_cast<const uint8_t*>(items.data()), items.size_bytes()));
  }
}

template <class Archive, class T>
void load_bulk_archive(Archive& ar, std::vector<T>& items) {
  if constexpr (is_text<Archive>) {
    std::string text;
    ar(cereal::make_nvp("base64", text));
    const auto bytes = from_base64(text);
    if (bytes.size() % sizeof(T) != 0)
      throw archive_error("a list of " + std::to_string(bytes.size()) + " bytes has no whole number of items of "
                          + std::to_string(sizeof(T)));
    items.resize(bytes.size() / sizeof(T));
    if (!bytes.empty())
      std::memcpy(items.data(), bytes.data(), bytes.size());
  } else {
    uint64_t count = 0;
    ar(count);
    if (count > max_archive_list / sizeof(T))
      throw archive_error("a list of " + std::to_string(count) + " items is longer than "
                          + std::to_string(max_archive_list / sizeof(T)));
    constexpr size_t step = (size_t{1} << 20) / sizeof(T);
    items.clear();
    while (items.size() < count) { // memory grows only as fast as there are bytes
      const auto had = items.size();
      const auto more = std::min<size_t>(step, static_cast<size_t>(count) - had);
      items.resize(had + more);
      ar(cereal::binary_data(reinterpret_cast<uint8_t*>(items.data() + had), more * sizeof(T)));
    }
  }
}

} // namespace detail

// -- wrappers of fields
// -----------------------------------------------------------------------------------------------------------

namespace detail {

template <class Archive, class V>
void save(Archive& ar, const list_ref<V>& x) {
  ar(cereal::make_size_tag(static_cast<cereal::size_type>(x.items.size())));
  for (auto& item : x.items)
    ar(item);
}

template <class Archive, class V>
void load(Archive& ar, list_ref<V>& x) {
  cereal::size_type count = 0;
  ar(cereal::make_size_tag(count));
  x.items.clear();
  for (cereal::size_type i = 0; i < count; ++i) // each item takes bytes: a count that is too large ends at the buffer's end
    ar(x.items.emplace_back());
}

template <class Archive, class B>
void save(Archive& ar, const flag_ref<B>& x) {
  ar(static_cast<uint8_t>(x.value ? 1 : 0));
}

template <class Archive, class B>
void load(Archive& ar, flag_ref<B>& x) {
  uint8_t number = 0;
  ar(number);
  if (number > 1)
    throw archive_error("a truth value is " + std::to_string(number) + ", not 0 or 1");
  x.value = number == 1;
}

template <class Archive, class S>
void save(Archive& ar, const string_ref<S>& x) {
  save_bulk_archive(ar, std::span<const char>{x.text});
}

template <class Archive, class S>
void load(Archive& ar, string_ref<S>& x) {
  std::vector<char> bytes;
  load_bulk_archive(ar, bytes);
  x.text.assign(bytes.begin(), bytes.end());
}

} // namespace detail

template <class Archive, class V>
void save(Archive& ar, const bulk_ref<V>& x) {
  using item = typename std::remove_const_t<V>::value_type;
  detail::save_bulk_archive(ar, std::span<const item>{x.items});
}

template <class Archive, class V>
void load(Archive& ar, bulk_ref<V>& x) {
  detail::load_bulk_archive(ar, x.items);
}

template <class Archive, class A>
void save(Archive& ar, const raw_ref<A>& x) {
  ar(cereal::make_size_tag(static_cast<cereal::size_type>(x.items.size())));
  for (auto& item : x.items)
    ar(item);
}

template <class Archive, class A>
void load(Archive& ar, raw_ref<A>& x) {
  cereal::size_type count = 0;
  ar(cereal::make_size_tag(count));
  if (count != x.items.size())
    throw archive_error("a list has " + std::to_string(count) + " numbers, not " + std::to_string(x.items.size()));
  for (auto& item : x.items)
    ar(item);
}

template <class Archive, class P>
void save(Archive& ar, const shared_ref<P>& x) {
  using value_type = std::remove_const_t<typename P::element_type>;
  const bool present = x.pointer != nullptr;
  detail::archive_field(ar, "present", present);
  if (!present)
    return;
  if constexpr (has_fields<value_type>) {
    ar(cereal::make_nvp("value", *x.pointer));
  } else {
    bulk_ref<const value_type> items{*x.pointer};
    ar(cereal::make_nvp("value", items));
  }
}

template <class Archive, class P>
void load(Archive& ar, shared_ref<P>& x) {
  using value_type = std::remove_const_t<typename P::element_type>;
  bool present = false;
  detail::archive_field(ar, "present", present);
  x.pointer.reset();
  if (!present)
    return;
  auto value = std::make_shared<value_type>();
  if constexpr (has_fields<value_type>) {
    ar(cereal::make_nvp("value", *value));
  } else {
    bulk_ref<value_type> items{*value};
    ar(cereal::make_nvp("value", items));
  }
  x.pointer = std::move(value);
}

template <class Archive, class O>
void save(Archive& ar, const optional_ref<O>& x) {
  const bool present = x.value.has_value();
  detail::archive_field(ar, "present", present);
  if (present)
    detail::archive_field(ar, "value", *x.value);
}

template <class Archive, class O>
void load(Archive& ar, optional_ref<O>& x) {
  bool present = false;
  detail::archive_field(ar, "present", present);
  x.value.reset();
  if (present)
    detail::archive_field(ar, "value", x.value.emplace());
}

template <class Archive, class E>
uint32_t save_minimal(const Archive&, const enum_ref<E>& x) {
  return static_cast<uint32_t>(x.value);
}

template <class Archive, class E>
void load_minimal(const Archive&, enum_ref<E>& x, const uint32_t& number) {
  if (number > static_cast<uint32_t>(x.last))
    throw archive_error("an enum's value is out of its range: " + std::to_string(number));
  x.value = static_cast<E>(number);
}

template <class Archive, class V>
void save(Archive& ar, const variant_ref<V>& x) {
  const auto index = static_cast<uint8_t>(x.value.index());
  detail::archive_field(ar, "kind", index);
  std::visit([&ar](const auto& one) { ar(cereal::make_nvp("value", one)); }, x.value);
}

template <class Archive, class V>
void load(Archive& ar, variant_ref<V>& x) {
  uint8_t index = 0;
  detail::archive_field(ar, "kind", index);
  if (!detail::become(x.value, index))
    throw archive_error("there is no alternative " + std::to_string(index));
  std::visit([&ar](auto& one) { ar(cereal::make_nvp("value", one)); }, x.value);
}

template <class Archive, class P>
void save(Archive& ar, const body_ref<P>& x) {
  const bool present = x.pointer != nullptr;
  detail::archive_field(ar, "present", present);
  if (!present)
    return;
  const auto channels = x.pointer->channels();
  const std::vector<float> points{x.pointer->points().begin(), x.pointer->points().end()};
  const std::vector<uint8_t> colours{x.pointer->colours().begin(), x.pointer->colours().end()};
  const std::vector<float> confidence{x.pointer->confidence().begin(), x.pointer->confidence().end()};
  const bulk_ref<const std::vector<float>> point_items{points}, confidence_items{confidence};
  const bulk_ref<const std::vector<uint8_t>> colour_items{colours};
  ar(cereal::make_nvp("channels", channels), cereal::make_nvp("points", point_items), cereal::make_nvp("colours", colour_items),
     cereal::make_nvp("confidence", confidence_items));
}

template <class Archive, class P>
void load(Archive& ar, body_ref<P>& x) {
  bool present = false;
  detail::archive_field(ar, "present", present);
  x.pointer.reset();
  if (!present)
    return;
  auto body = std::make_shared<owned_keyframe_body>();
  bulk_ref<std::vector<float>> points{body->point_data}, confidence{body->confidence_data};
  bulk_ref<std::vector<uint8_t>> colours{body->colour_data};
  ar(cereal::make_nvp("channels", body->channel_count), cereal::make_nvp("points", points), cereal::make_nvp("colours", colours),
     cereal::make_nvp("confidence", confidence));
  x.pointer = std::move(body);
}

// -- messages
// ---------------------------------------------------------------------------------------------------------------------

/// Cereal's way in for every message.
template <class Archive, class T>
requires has_fields<T>
void save(Archive& ar, const T& x) {
  message_fields<T>::visit([&ar](auto... fields) { (detail::archive_field(ar, fields.name, fields.value), ...); }, x);
}

template <class Archive, class T>
requires has_fields<T>
void load(Archive& ar, T& x) {
  message_fields<T>::visit([&ar](auto... fields) { (detail::archive_field(ar, fields.name, fields.value), ...); }, x);
}

/// Writes a message in cereal's portable binary form, little-endian.
template <class T>
requires has_fields<T> std::vector<std::byte> to_binary(const T& x) {
  std::ostringstream out;
  {
    cereal::PortableBinaryOutputArchive ar{out, cereal::PortableBinaryOutputArchive::Options::LittleEndian()};
    ar(x);
  }
  const auto text = std::move(out).str();
  const auto bytes = std::as_bytes(std::span{text});
  return {bytes.begin(), bytes.end()};
}

/// Writes a message as JSON; bulk data as base64.
template <class T>
requires has_fields<T> std::string to_json(const T& x) {
  std::ostringstream out;
  {
    cereal::JSONOutputArchive ar{out, cereal::JSONOutputArchive::Options::NoIndent()};
    ar(cereal::make_nvp(message_fields<T>::name, x));
  }
  return std::move(out).str();
}

namespace detail {

/// A stream over memory that belongs to somebody else.
class memory_buffer final : public std::streambuf {
public:
  explicit memory_buffer(std::span<const std::byte> bytes) {
    auto* p = const_cast<char*>(reinterpret_cast<const char*>(bytes.data())); // only read
    setg(p, p, p + bytes.size());
  }
  [[nodiscard]] bool at_end() const { return gptr() == egptr(); }
};

} // namespace detail

/// Reads what to_binary() wrote, all of it. Throws archive_error.
template <class T>
requires has_fields<T> T from_binary(std::span<const std::byte> bytes) {
  if (bytes.empty() || bytes[0] != std::byte{1})
    throw archive_error("an archive does not begin with the byte 1 (little-endian)");
  detail::memory_buffer buffer{bytes};
  std::istream in{&buffer};
  T out;
  try {
    cereal::PortableBinaryInputArchive ar{in, cereal::PortableBinaryInputArchive::Options::LittleEndian()};
    ar(out);
  } catch (const archive_error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw; // lengths are not believed, so that this says nothing of the archive
  } catch (const std::exception& e) {
    throw archive_error(e.what());
  }
  if (!buffer.at_end())
    throw archive_error("an archive has bytes after its end");
  return out;
}

/// Reads what to_json() wrote. Throws archive_error.
template <class T>
requires has_fields<T> T from_json(std::string_view text) {
  if (nests_deeper(text, detail::max_json_depth))
    throw archive_error("JSON is nested more than " + std::to_string(detail::max_json_depth) + " deep");
  detail::memory_buffer buffer{std::as_bytes(std::span{text})};
  std::istream in{&buffer};
  T out;
  try {
    cereal::JSONInputArchive ar{in};
    ar(cereal::make_nvp(message_fields<T>::name, out));
  } catch (const archive_error&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw; // lengths are not believed, so that this says nothing of the archive
  } catch (const std::exception& e) {
    throw archive_error(e.what());
  }
  return out;
}

} // namespace tessera
