#pragma once
// CAF type ids, atoms and inspectors of all messages. Include this to send or receive; include the small headers to only name
// types.

#include "messages/error.hpp"
#include "messages/fields.hpp"

#include <caf/deserializer.hpp>
#include <caf/fwd.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/serializer.hpp>
#include <caf/type_id.hpp>

#include <algorithm>
#include <cstddef>

namespace tessera {

/// Registers every message type, every typed actor interface and the error texts. Both ends of a connection must have done so:
/// CAF delivers a type that the receiver does not know as an empty message.
void register_messages(caf::actor_system_config& config);

namespace detail {

/// Longest bulk field that is taken from outside, in bytes: the points of the largest keyframe (2^24) fit several times.
inline constexpr uint64_t max_bulk_bytes = uint64_t{1} << 30;

template <class Inspector>
inline constexpr bool is_saving = std::is_base_of_v<caf::serializer, Inspector>;
template <class Inspector>
inline constexpr bool is_loading = std::is_base_of_v<caf::deserializer, Inspector>;

/// CAF's interface takes mutable memory also to read from it.
inline caf::error save_bytes(caf::serializer& f, const void* data, size_t bytes) {
  return bytes == 0 ? caf::error{} : f.apply_raw(bytes, const_cast<void*>(data));
}

template <class T>
caf::error save_bulk(caf::serializer& f, const T* data, size_t count) {
  static_assert(std::is_trivially_copyable_v<T>);
  uint64_t n = count;
  if (auto err = f(n))
    return err;
  return save_bytes(f, data, count * sizeof(T));
}

/// Loads a list whose length comes from outside: memory grows only as fast as there are bytes to fill it.
template <class T>
caf::error load_bulk(caf::deserializer& f, std::vector<T>& out) {
  static_assert(std::is_trivially_copyable_v<T>);
  constexpr size_t step = (size_t{1} << 20) / sizeof(T);
  uint64_t n = 0;
  if (auto err = f(n))
    return err;
  out.clear();
  if (n > max_bulk_bytes / sizeof(T))
    return caf::make_error(ec::malformed, "a list of " + std::to_string(n) + " items is longer than "
                                            + std::to_string(max_bulk_bytes / sizeof(T)));
  while (out.size() < n) {
    auto had = out.size();
    auto more = std::min<size_t>(step, static_cast<size_t>(n) - had);
    out.resize(had + more);
    if (auto err = f.apply_raw(more * sizeof(T), out.data() + had)) {
      out.clear();
      return err;
    }
  }
  return {};
}

inline caf::error save_body(caf::serializer& f, const keyframe_body* body) {
  uint8_t present = body != nullptr;
  if (auto err = f(present); err || !body)
    return err;
  auto channels = body->channels();
  if (auto err = f(channels))
    return err;
  if (auto err = save_bulk(f, body->points().data(), body->points().size()))
    return err;
  if (auto err = save_bulk(f, body->colours().data(), body->colours().size()))
    return err;
  return save_bulk(f, body->confidence().data(), body->confidence().size());
}

inline caf::error load_body(caf::deserializer& f, std::shared_ptr<const keyframe_body>& out) {
  out.reset();
  uint8_t present = 0;
  if (auto err = f(present); err || present == 0)
    return err;
  auto body = std::make_shared<owned_keyframe_body>();
  if (auto err = f(body->channel_count))
    return err;
  if (auto err = load_bulk(f, body->point_data))
    return err;
  if (auto err = load_bulk(f, body->colour_data))
    return err;
  if (auto err = load_bulk(f, body->confidence_data))
    return err;
  out = std::move(body);
  return {};
}

} // namespace detail

template <class Inspector, class V>
typename Inspector::result_type inspect(Inspector& f, bulk_ref<V>& x) {
  if constexpr (detail::is_saving<Inspector>)
    return detail::save_bulk(f, x.items.data(), x.items.size());
  else if constexpr (detail::is_loading<Inspector>)
    return detail::load_bulk(f, x.items);
  else
    return f(caf::meta::type_name("items"), x.items.size());
}

template <class Inspector, class A>
typename Inspector::result_type inspect(Inspector& f, raw_ref<A>& x) {
  if constexpr (detail::is_saving<Inspector>)
    return detail::save_bytes(f, x.items.data(), sizeof(A));
  else if constexpr (detail::is_loading<Inspector>)
    return f.apply_raw(sizeof(A), x.items.data());
  else
    return f(x.items);
}

template <class Inspector, class P>
typename Inspector::result_type inspect(Inspector& f, shared_ref<P>& x) {
  using value_type = std::remove_const_t<typename P::element_type>;
  if constexpr (detail::is_saving<Inspector>) {
    uint8_t present = x.pointer != nullptr;
    if (auto err = f(present); err || !x.pointer)
      return err;
    auto& value = const_cast<value_type&>(*x.pointer); // saving changes nothing
    if constexpr (has_fields<value_type>)
      return f(value);
    else
      return f(bulk_ref<value_type>{value});
  } else if constexpr (detail::is_loading<Inspector>) {
    x.pointer.reset();
    uint8_t present = 0;
    if (auto err = f(present); err || present == 0)
      return err;
    auto value = std::make_shared<value_type>();
    if constexpr (has_fields<value_type>) {
      if (auto err = f(*value))
        return err;
    } else {
      if (auto err = detail::load_bulk(f, *value))
        return err;
    }
    x.pointer = std::move(value);
    return {};
  } else {
    return f(caf::meta::type_name(x.pointer ? "shared" : "null"));
  }
}

template <class Inspector, class O>
typename Inspector::result_type inspect(Inspector& f, optional_ref<O>& x) {
  if constexpr (detail::is_loading<Inspector>) {
    x.value.reset();
    uint8_t present = 0;
    if (auto err = f(present); err || present == 0)
      return err;
    return f(x.value.emplace());
  } else if constexpr (detail::is_saving<Inspector>) {
    uint8_t present = x.value.has_value();
    if (auto err = f(present); err || !x.value)
      return err;
    return f(*x.value);
  } else {
    if (x.value)
      return f(*x.value);
    return f(caf::meta::type_name("none"));
  }
}

template <class Inspector, class E>
typename Inspector::result_type inspect(Inspector& f, enum_ref<E>& x) {
  using number = std::underlying_type_t<E>;
  if constexpr (detail::is_loading<Inspector>) {
    number n{};
    if (auto err = f(n))
      return err;
    if (n < number{} || n > static_cast<number>(x.last))
      return caf::make_error(ec::malformed, "an enum's value is out of its range: " + std::to_string(n));
    x.value = static_cast<E>(n);
    return {};
  } else {
    auto n = static_cast<number>(x.value);
    return f(n);
  }
}

template <class Inspector, class V>
typename Inspector::result_type inspect(Inspector& f, variant_ref<V>& x) {
  [[maybe_unused]] auto index = static_cast<uint8_t>(x.value.index());
  if constexpr (detail::is_saving<Inspector> || detail::is_loading<Inspector>)
    if (auto err = f(index))
      return err;
  if constexpr (detail::is_loading<Inspector>)
    if (!detail::become(x.value, index))
      return caf::make_error(ec::malformed, "there is no alternative " + std::to_string(index));
  return std::visit([&f](auto& one) { return f(one); }, x.value);
}

template <class Inspector, class P>
typename Inspector::result_type inspect(Inspector& f, body_ref<P>& x) {
  if constexpr (detail::is_saving<Inspector>)
    return detail::save_body(f, x.pointer.get());
  else if constexpr (detail::is_loading<Inspector>)
    return detail::load_body(f, x.pointer);
  else
    return f(caf::meta::type_name("points"), x.pointer ? x.pointer->size() : size_t{0});
}

/// CAF's inspector of every message: its fields, in the table's order.
template <class Inspector, class T>
requires has_fields<T>
typename Inspector::result_type inspect(Inspector& f, T& x) {
  return message_fields<T>::visit(
    [&f](auto... fields) { return f(caf::meta::type_name(message_fields<T>::name), fields.value...); }, x);
}

} // namespace tessera

CAF_BEGIN_TYPE_ID_BLOCK(tessera, caf::first_custom_type_id)

CAF_ADD_TYPE_ID(tessera, (tessera::keyframe_id))
CAF_ADD_TYPE_ID(tessera, (tessera::region_key))
CAF_ADD_TYPE_ID(tessera, (tessera::device_id))
CAF_ADD_TYPE_ID(tessera, (tessera::pose))
CAF_ADD_TYPE_ID(tessera, (tessera::ray_batch))
CAF_ADD_TYPE_ID(tessera, (tessera::keyframe))
CAF_ADD_TYPE_ID(tessera, (tessera::map_input))
CAF_ADD_TYPE_ID(tessera, (tessera::verdict))
CAF_ADD_TYPE_ID(tessera, (tessera::map_hash))
CAF_ADD_TYPE_ID(tessera, (tessera::field_stats))
CAF_ADD_TYPE_ID(tessera, (tessera::mesh))
CAF_ADD_TYPE_ID(tessera, (tessera::region_mesh))
CAF_ADD_TYPE_ID(tessera, (std::vector<tessera::region_mesh>))
CAF_ADD_TYPE_ID(tessera, (tessera::patch))
CAF_ADD_TYPE_ID(tessera, (std::vector<tessera::patch>))
CAF_ADD_TYPE_ID(tessera, (tessera::region_status))
CAF_ADD_TYPE_ID(tessera, (std::vector<tessera::region_status>))
CAF_ADD_TYPE_ID(tessera, (tessera::map_status))
CAF_ADD_TYPE_ID(tessera, (tessera::camera))
CAF_ADD_TYPE_ID(tessera, (std::vector<tessera::camera>))
CAF_ADD_TYPE_ID(tessera, (tessera::handler_status))
CAF_ADD_TYPE_ID(tessera, (tessera::actor_status))
CAF_ADD_TYPE_ID(tessera, (std::vector<tessera::actor_status>))
CAF_ADD_TYPE_ID(tessera, (tessera::held_patch))
CAF_ADD_TYPE_ID(tessera, (tessera::subscribe))
CAF_ADD_TYPE_ID(tessera, (tessera::view))
CAF_ADD_TYPE_ID(tessera, (tessera::ack))
CAF_ADD_TYPE_ID(tessera, (tessera::lost))
CAF_ADD_TYPE_ID(tessera, (tessera::patch_form))
CAF_ADD_TYPE_ID(tessera, (tessera::keyframe_selection))
CAF_ADD_TYPE_ID(tessera, (tessera::correction_entry))
CAF_ADD_TYPE_ID(tessera, (tessera::correction))
CAF_ADD_TYPE_ID(tessera, (tessera::keyframes_left))
CAF_ADD_TYPE_ID(tessera, (tessera::field_plane))
CAF_ADD_TYPE_ID(tessera, (tessera::region_slice))
CAF_ADD_TYPE_ID(tessera, (tessera::field_slice))

// At most 10 characters: CAF packs them into 64 bits.
CAF_ADD_ATOM(tessera, tessera, take_atom, "take")
CAF_ADD_ATOM(tessera, tessera, rays_atom, "rays")
CAF_ADD_ATOM(tessera, tessera, extract_atom, "extract")
CAF_ADD_ATOM(tessera, tessera, status_atom, "status")
CAF_ADD_ATOM(tessera, tessera, drop_atom, "drop")
CAF_ADD_ATOM(tessera, tessera, clear_atom, "clear")
CAF_ADD_ATOM(tessera, tessera, dirty_atom, "dirty")
CAF_ADD_ATOM(tessera, tessera, mesh_atom, "mesh")
CAF_ADD_ATOM(tessera, tessera, export_atom, "export")
CAF_ADD_ATOM(tessera, tessera, import_atom, "import")
CAF_ADD_ATOM(tessera, tessera, snapshot_atom, "snapshot")
CAF_ADD_ATOM(tessera, tessera, ingest_atom, "ingest")
CAF_ADD_ATOM(tessera, tessera, retract_atom, "retract")
CAF_ADD_ATOM(tessera, tessera, revise_atom, "revise")
CAF_ADD_ATOM(tessera, tessera, aside_atom, "aside")
CAF_ADD_ATOM(tessera, tessera, refill_atom, "refill")
CAF_ADD_ATOM(tessera, tessera, list_atom, "list")
CAF_ADD_ATOM(tessera, tessera, place_atom, "place")
CAF_ADD_ATOM(tessera, tessera, kill_atom, "kill")
CAF_ADD_ATOM(tessera, tessera, patch_atom, "patch")
CAF_ADD_ATOM(tessera, tessera, camera_atom, "camera")
CAF_ADD_ATOM(tessera, tessera, join_atom, "join")
CAF_ADD_ATOM(tessera, tessera, leave_atom, "leave")
CAF_ADD_ATOM(tessera, tessera, sent_atom, "sent")
CAF_ADD_ATOM(tessera, tessera, want_atom, "want")
CAF_ADD_ATOM(tessera, tessera, slice_atom, "slice")

CAF_END_TYPE_ID_BLOCK(tessera)
