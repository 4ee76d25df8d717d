#include "net/formats/msgpack.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <utility>
#include <vector>

namespace tessera {

namespace {

using nlohmann::json;

/// Builds the value from what nlohmann's parser finds, which reserves nothing for a length before the bytes are there, but
/// follows lists and maps by recursion: start() stops it.
class builder {
public:
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  explicit builder(size_t bytes) : bytes_(bytes) {}

  json result() { return std::move(whole_); }

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(number_integer_t value) { return value < 0 ? put(value) : put(static_cast<number_unsigned_t>(value)); }
  bool number_unsigned(number_unsigned_t value) { return put(value); }
  bool number_float(number_float_t value, const string_t&) { return put(value); }
  bool string(string_t& value) { return put(std::move(value)); }
  bool binary(binary_t& value) { return put(std::move(value)); }

  bool start_object(size_t pairs) { return start(json::object(), pairs); }
  bool key(string_t& name) {
    if (open_.size() == 1)
      field_ = printable(name);
    count();
    slot_ = &(*open_.back())[std::move(name)];
    return true;
  }
  bool end_object() { return end(); }
  bool start_array(size_t elements) { return start(json::array(), elements); }
  bool end_array() { return end(); }

  bool parse_error(size_t, const std::string&, const json::exception& error) {
    std::string why = error.what(); // behind "[json.exception.parse_error.110] "
    throw bad_input(field_ + ": " + why.substr(why.find(' ') + 1));
  }

private:
  void count() {
    if (++values_ > max_values)
      throw bad_input(field_ + " has more values and keys than one message may: at most " + std::to_string(max_values)
                      + " are read");
  }
  /// Puts a value where the next one belongs and tells where it lies now.
  json& place(json value) {
    count();
    if (!open_.empty() && open_.back()->is_array())
      return open_.back()->emplace_back(std::move(value));
    return *slot_ = std::move(value);
  }
  bool put(json value) {
    place(std::move(value));
    return true;
  }
  bool start(json empty, size_t elements) {
    if (elements > bytes_) // each takes a byte at least
      throw bad_input(field_ + " claims " + std::to_string(elements) + " elements, but the message has only "
                      + std::to_string(bytes_) + " bytes");
    if (open_.size() == max_msgpack_depth)
      throw bad_input(field_ + " is nested deeper than " + std::to_string(max_msgpack_depth - 1) + " levels");
    open_.push_back(&place(std::move(empty)));
    return true;
  }
  bool end() {
    open_.pop_back();
    if (open_.empty())
      field_ = "message";
    return true;
  }

  size_t bytes_;
  size_t values_ = 0; // and keys, so far
  json whole_;
  json* slot_ = &whole_;    // where the next value belongs, unless into a list
  std::vector<json*> open_; // maps and lists that are not complete; all but the last stay where they are
  std::string field_ = "message";
};

} // namespace

json read_msgpack(std::span<const std::byte> bytes) {
  builder result(bytes.size());
  auto* begin = reinterpret_cast<const char*>(bytes.data());
  json::sax_parse(begin, begin + bytes.size(), &result, json::input_format_t::msgpack);
  return result.result();
}

} // namespace tessera
