// A slice of the field, drawn for people.

#include "gpu/region_slices.hpp"
#include "messages/names.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/percent.hpp"
#include "net/formats/slice_picture.hpp"
#include "net/server/answers.hpp"

#include <new>
#include <utility>

namespace tessera {

namespace {

using http::status;

// Pictures that are being made or wait for that; each holds what the regions have in its plane.
constexpr int most_slices = 4;

// A place among them, given back when this object goes, also if nothing could be posted.
class slice_place {
public:
  explicit slice_place(const std::shared_ptr<server_core>& core)
    : core_{core}, is_there_{core->slices_under_way.fetch_add(1) < most_slices} {}
  slice_place(const slice_place&) = delete;
  slice_place& operator=(const slice_place&) = delete;
  ~slice_place() { core_->slices_under_way.fetch_sub(1); }
  explicit operator bool() const { return is_there_; }

private:
  const std::shared_ptr<server_core> core_;
  const bool is_there_;
};

// What a query asks for, or why it cannot be and which of its words says so.
struct slice_query {
  slice_options options;
  field_plane plane;
  std::string fault, field;
};

slice_query read_query(std::string_view query, float voxel_m) {
  slice_query out;
  try {
    bool has_place = false;
    for_query_words(query, [&](std::string_view name, std::string_view value) {
      if (name == "token")
        return true;
      out.field = name.substr(0, max_group_bytes);
      const auto text = percent_decoded(value);
      for (const auto& option : slice_option_table()) {
        if (option.name != name)
          continue;
        if (!text)
          throw bad_input(out.field + " has a broken escape: %XX");
        read_slice_option(option, *text, out.options);
        has_place = has_place || name == "at";
        return true;
      }
      std::string known;
      for (const auto& option : slice_option_table())
        known += (known.empty() ? "" : ", ") + std::string(option.name);
      throw bad_input("the query has a word that means nothing here; it can have " + known);
    });
    out.field = "at";
    if (!has_place)
      throw bad_input("at is missing: a number of metres on the axis");
    out.plane = plane_of(out.options, voxel_m);
  } catch (const bad_input& e) {
    out.fault = e.what();
  }
  return out;
}

// Reads by the thread of files.
http_reply picture_reply(server_core& core, const slice_query& what, const field_slice& slice) {
  const auto& map = core.config.map;
  if (const auto fault = fault_of_slice(slice, what.options, most_slice_regions(map)); !fault.empty())
    return slice.parts.empty() && slice.cut <= most_slice_regions(map)
             ? error_reply(status::not_found, "not_found", fault, "at")
             : error_reply(status::unprocessable_entity, "too_large", fault, "area");
  if (!core.pictures.has_room())
    return error_reply(status::service_unavailable, "busy",
                       "pictures that are still being sent hold " + std::to_string(core.pictures.now()) + " bytes; at most "
                         + std::to_string(core.pictures.most()) + " may be when another is made");
  struct counted {
    held_bytes::share share;
    const std::vector<std::byte> png;
  };
  auto png = encode_png(draw_slice(slice, what.plane, what.options, {map.voxel_m, map.truncation_m, map.region_voxels}));
  const auto made = std::make_shared<const counted>(counted{core.pictures.count(png.size()), std::move(png)});
  http_reply out;
  out.content_type = "image/png";
  out.body = shared_bytes{made, std::span{made->png}};
  out.wanted = core.pictures.wanted();
  return std::move(out).with("Cache-Control", "no-store");
}

} // namespace

void answer_slice(http_call& call) {
  auto what = read_query(call.head.target.query, call.core->config.map.voxel_m);
  if (!what.fault.empty())
    return call.reply(error_reply(status::bad_request, "bad_request", what.fault, what.field));
  const auto place = std::make_shared<slice_place>(call.core);
  if (!*place)
    return call.reply(
      error_reply(status::service_unavailable, "busy", std::to_string(most_slices) + " slices are being made; ask again"));
  const auto plane = what.plane;
  const auto draw = [core = call.core, back = call.back, reply = std::move(call.reply), what = std::move(what),
                     place](std::optional<field_slice> slice, const std::string& why) {
    if (!slice)
      return reply(error_reply(status::service_unavailable, "unavailable", "the partitioner did not answer: " + why));
    asio::post(core->files, [core, back, reply, what, place, slice = std::make_shared<const field_slice>(std::move(*slice))] {
      http_reply out;
      try {
        out = picture_reply(*core, what, *slice);
      } catch (const std::bad_alloc&) {
        out = error_reply(status::service_unavailable, "no_memory", "there is no memory for this now");
      }
      back.post([reply, out = std::move(out)]() mutable { reply(std::move(out)); });
    });
  };
  // Regions are asked one after another, and each when it is its turn: that can take longer than a look at a number.
  ask<field_slice>(call.core->system, call.back, 6 * call.core->config.timeouts.ask, call.core->running.partitioner.get(), draw,
                   slice_atom::value, plane);
}

} // namespace tessera
