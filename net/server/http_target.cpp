#include "net/server/http_target.hpp"

#include "messages/names.hpp"
#include "net/base/percent.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/moment.hpp"
#include "net/server/http_rules.hpp"
#include "net/server/route_table.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

namespace tessera {

namespace {

// "x,y,z.drc", each a whole number of 32 bits.
std::optional<region_key> region_file(std::string_view name) {
  constexpr std::string_view extension = ".drc";
  if (!name.ends_with(extension))
    return std::nullopt;
  name.remove_suffix(extension.size());
  std::array<int32_t, 3> key{};
  const auto* at = name.data();
  const auto* end = at + name.size();
  for (size_t i = 0; i < 3; ++i) {
    if (i > 0 && (at == end || *at++ != ','))
      return std::nullopt;
    auto [next, failed] = std::from_chars(at, end, key[i]);
    if (failed != std::errc{})
      return std::nullopt;
    at = next;
  }
  if (at != end)
    return std::nullopt;
  return region_key{key[0], key[1], key[2]};
}

std::optional<std::string> token_in(std::string_view query) {
  std::optional<std::string> out;
  for_query_words(query, [&](std::string_view name, std::string_view value) {
    if (name != "token")
      return true;
    out = percent_decoded(value);
    return false;
  });
  return out;
}

/// What `before` says; `why` says what is wrong with it.
std::optional<uint64_t> moment_in(std::string_view text, std::string& why) {
  try {
    return parse_moment(text);
  } catch (const std::invalid_argument& e) {
    why = "before (\"" + printable(text) + "\") " + e.what();
    return {};
  }
}

} // namespace

void for_query_words(std::string_view query, const std::function<bool(std::string_view, std::string_view)>& f) {
  while (!query.empty()) {
    const auto end = query.find('&');
    const auto pair = query.substr(0, end);
    const auto equals = pair.find('=');
    if (!pair.empty() && !f(pair.substr(0, equals), equals == pair.npos ? std::string_view{} : pair.substr(equals + 1)))
      return;
    query.remove_prefix(end == query.npos ? query.size() : end + 1);
  }
}

std::optional<keyframe_selection> read_selection(std::string_view query, std::initializer_list<std::string_view> allowed,
                                                 std::string& why, std::string& field) {
  keyframe_selection out;
  for_query_words(query, [&](std::string_view name, std::string_view value) {
    if (name == "token")
      return true;
    field = name.substr(0, max_group_bytes);
    if (std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
      why = "the query has a word that means nothing here; it can have";
      for (const auto& one : allowed)
        why += (one == *allowed.begin() ? " " : ", ") + std::string{one};
      return false;
    }
    auto& place = name == "session" ? out.session : name == "source" ? out.source : out.group;
    auto text = percent_decoded(value);
    if (!text)
      why = field + " has a broken escape: %XX";
    else if (name == "before" ? out.before_ns.has_value() : place.has_value())
      why = field + " is given twice";
    else if (name == "before")
      out.before_ns = moment_in(*text, why);
    else if (auto fault = name == "session" ? fault_of_session(*text) : fault_of_group(*text))
      why = std::move(*fault);
    else
      place = std::move(text);
    return why.empty();
  });
  return why.empty() ? std::optional{std::move(out)} : std::nullopt;
}

bool read_region_file(std::string_view name, http_target& into) {
  const auto decoded = percent_decoded(name); // browsers may escape the commas
  const auto region = decoded ? region_file(*decoded) : std::nullopt;
  if (region)
    into.region = *region;
  return region.has_value();
}

bool read_mesh_format(std::string_view extension, http_target& into) {
  const auto format = extension.size() == 3 ? mesh_format_of("mesh." + std::string(extension)) : std::nullopt;
  if (format)
    into.format = *format;
  return format.has_value();
}

bool read_keyframe_id(std::string_view id, http_target& into) {
  auto decoded = id.find('/') == id.npos ? percent_decoded(id) : std::nullopt;
  if (!decoded || decoded->empty())
    return false;
  into.id = std::move(*decoded);
  return true;
}

bool read_page(std::string_view path, http_target& into) {
  auto decoded = path.starts_with("v1/") ? std::nullopt : percent_decoded(path);
  if (!decoded)
    return false;
  into.path = "/" + *decoded;
  return true;
}

http_target parse_target(std::string_view target) {
  http_target out;
  if (const auto scheme = scheme_of(target); !scheme.empty()) {
    auto slash = target.find('/', scheme.size());
    target = slash == target.npos ? "/" : target.substr(slash);
  }
  if (auto hash = target.find('#'); hash != target.npos)
    target = target.substr(0, hash);
  if (auto question = target.find('?'); question != target.npos) {
    out.query = target.substr(question + 1);
    out.token = token_in(out.query);
    target = target.substr(0, question);
  }
  if (target.starts_with('/'))
    resolve(target, out);
  return out;
}

} // namespace tessera
