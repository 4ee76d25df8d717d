#pragma once
// The fields of every message, written down once: CAF's inspectors (types.hpp) and Cereal's archives (archive.hpp) both read this
// table. A field that is not a number, a string, a message or a list of messages is wrapped, to say how it travels.

#include "messages/ids.hpp"
#include "messages/keyframe.hpp"
#include "messages/map.hpp"
#include "messages/map_input.hpp"
#include "messages/pose.hpp"
#include "messages/ray.hpp"
#include "messages/slice.hpp"
#include "messages/status.hpp"
#include "messages/talk.hpp"

#include <array>
#include <bit>
#include <concepts>
#include <optional>
#include <type_traits>
#include <variant>

namespace tessera {

static_assert(std::endian::native == std::endian::little, "bulk data travels as it lies in memory: little-endian");

/// A field with its name. T is a reference to the member, or one of the wrappers below, which hold one.
template <class T>
struct field {
  const char* name;
  T value;
};

/// A list of plain numbers or structs without padding: travels as one block of bytes.
template <class V>
struct bulk_ref {
  V& items;
};

/// A fixed number of plain numbers: travels as one block of bytes.
template <class A>
struct raw_ref {
  A& items;
};

/// A shared immutable value; null travels as null.
template <class P>
struct shared_ref {
  P& pointer;
};

/// A value that may be missing.
template <class O>
struct optional_ref {
  O& value;
};

/// An enum whose values are 0 to `last`; others are refused when loading.
template <class E>
struct enum_ref {
  E& value;
  std::remove_const_t<E> last;
};

/// One of several messages: travels after its number among them.
template <class V>
struct variant_ref {
  V& value;
};

/// A keyframe's arrays, whoever owns them; loaded ones own theirs.
template <class P>
struct body_ref {
  P& pointer;
};

namespace detail {

template <class T>
field<T&> named(const char* name, T& value) {
  return {name, value};
}

template <template <class> class W, class T>
field<W<T>> wrapped(const char* name, T& value) {
  return {name, W<T>{value}};
}

/// Makes a variant an empty one of its alternatives, by number; false if there is none of that number.
template <class... Ts>
bool become(std::variant<Ts...>& x, size_t index) {
  size_t i = 0;
  return ((i++ == index && (x.template emplace<Ts>(), true)) || ...);
}

} // namespace detail

/// The name of message type T, and its fields: calls f(field<A>{...}, field<B>{...}, ...) and returns what it returns.
template <class T>
struct message_fields;

/// Is T a message with a table of fields?
template <class T>
concept has_fields = requires {
  message_fields<std::remove_const_t<T>>::name;
};

// In a table, TESSERA_FIELD(a) is the member x.a under its own name; the others wrap it.
#define TESSERA_FIELD(member) ::tessera::detail::named(#member, x.member)
#define TESSERA_WRAPPED(wrapper, member) ::tessera::detail::wrapped<wrapper>(#member, x.member)
#define TESSERA_FIELDS(type, ...)                                                                                                \
  template <>                                                                                                                    \
  struct message_fields<type> {                                                                                                  \
    static constexpr const char* name = #type;                                                                                   \
    template <class F, class T>                                                                                                  \
    static decltype(auto) visit(F&& f, T& x) {                                                                                   \
      return f(__VA_ARGS__);                                                                                                     \
    }                                                                                                                            \
  }

TESSERA_FIELDS(keyframe_id, TESSERA_FIELD(value), TESSERA_FIELD(session));
TESSERA_FIELDS(region_key, TESSERA_FIELD(x), TESSERA_FIELD(y), TESSERA_FIELD(z));
TESSERA_FIELDS(device_id, TESSERA_FIELD(value));
TESSERA_FIELDS(pose, TESSERA_WRAPPED(raw_ref, m));
TESSERA_FIELDS(ray_batch, TESSERA_WRAPPED(shared_ref, rays));
TESSERA_FIELDS(keyframe, TESSERA_FIELD(id), TESSERA_FIELD(timestamp_ns), TESSERA_FIELD(received_ns),
               TESSERA_FIELD(world_from_camera), TESSERA_WRAPPED(body_ref, body), TESSERA_FIELD(source), TESSERA_FIELD(group),
               TESSERA_FIELD(admission));
TESSERA_FIELDS(revision, TESSERA_FIELD(id), TESSERA_FIELD(world_from_camera), TESSERA_WRAPPED(optional_ref, number));
TESSERA_FIELDS(correction_entry, TESSERA_FIELD(id), TESSERA_FIELD(group), TESSERA_FIELD(to),
               TESSERA_WRAPPED(optional_ref, number));
TESSERA_FIELDS(correction, TESSERA_FIELD(entries));
TESSERA_FIELDS(keyframes_left, TESSERA_FIELD(duplicate), TESSERA_FIELD(unknown), TESSERA_FIELD(refused), TESSERA_FIELD(not_now));
TESSERA_FIELDS(retraction, TESSERA_FIELD(id), TESSERA_FIELD(admission));
TESSERA_FIELDS(keyframe_selection, TESSERA_WRAPPED(optional_ref, session), TESSERA_WRAPPED(optional_ref, source),
               TESSERA_WRAPPED(optional_ref, group), TESSERA_WRAPPED(optional_ref, before_ns), TESSERA_FIELD(admission));
TESSERA_FIELDS(map_hash, TESSERA_FIELD(hi), TESSERA_FIELD(lo));
TESSERA_FIELDS(field_stats, TESSERA_FIELD(hash), TESSERA_FIELD(blocks), TESSERA_FIELD(voxels), TESSERA_FIELD(bytes));
TESSERA_FIELDS(mesh, TESSERA_WRAPPED(bulk_ref, positions), TESSERA_WRAPPED(bulk_ref, normals), TESSERA_WRAPPED(bulk_ref, colours),
               TESSERA_WRAPPED(bulk_ref, keys), TESSERA_WRAPPED(bulk_ref, indices));
TESSERA_FIELDS(region_mesh, TESSERA_FIELD(region), TESSERA_FIELD(version), TESSERA_WRAPPED(shared_ref, surface));
TESSERA_FIELDS(patch_form, TESSERA_FIELD(cells), TESSERA_FIELD(base));
TESSERA_FIELDS(cells_frame, TESSERA_FIELD(base), TESSERA_WRAPPED(shared_ref, bytes));
TESSERA_FIELDS(patch, TESSERA_FIELD(region), TESSERA_FIELD(version), TESSERA_FIELD(keyframe_ns), TESSERA_FIELD(received_ns),
               TESSERA_FIELD(vertices), TESSERA_FIELD(triangles), TESSERA_WRAPPED(shared_ref, frame), TESSERA_FIELD(cells),
               TESSERA_FIELD(no_cells));
TESSERA_FIELDS(region_status, TESSERA_FIELD(region), TESSERA_FIELD(device), TESSERA_FIELD(version), TESSERA_FIELD(field),
               TESSERA_FIELD(vertices), TESSERA_FIELD(triangles), TESSERA_FIELD(patch_bytes), TESSERA_FIELD(keyframe_ns));
TESSERA_FIELDS(map_status, TESSERA_FIELD(epoch), TESSERA_FIELD(field), TESSERA_FIELD(keyframes), TESSERA_FIELD(rays),
               TESSERA_FIELD(regions), TESSERA_FIELD(vertices), TESSERA_FIELD(triangles), TESSERA_WRAPPED(raw_ref, bounds),
               TESSERA_FIELD(voxel_m), TESSERA_FIELD(truncation_m), TESSERA_FIELD(region_voxels));
TESSERA_FIELDS(camera, TESSERA_FIELD(id), TESSERA_FIELD(timestamp_ns), TESSERA_FIELD(world_from_camera), TESSERA_FIELD(gone));
TESSERA_FIELDS(handler_status, TESSERA_FIELD(message), TESSERA_FIELD(handled), TESSERA_FIELD(p50_s), TESSERA_FIELD(p99_s),
               TESSERA_FIELD(total_s));
TESSERA_FIELDS(actor_status, TESSERA_FIELD(role), TESSERA_FIELD(id), TESSERA_WRAPPED(optional_ref, region),
               TESSERA_WRAPPED(optional_ref, device), TESSERA_FIELD(state), TESSERA_FIELD(detail), TESSERA_FIELD(mailbox),
               TESSERA_FIELD(handlers), TESSERA_FIELD(restarts), TESSERA_FIELD(last_error));
TESSERA_FIELDS(field_plane, TESSERA_FIELD(axis), TESSERA_FIELD(layer), TESSERA_WRAPPED(raw_ref, low),
               TESSERA_WRAPPED(raw_ref, high));
TESSERA_FIELDS(region_slice, TESSERA_FIELD(region), TESSERA_WRAPPED(bulk_ref, distances), TESSERA_WRAPPED(bulk_ref, weights),
               TESSERA_WRAPPED(bulk_ref, colours));
TESSERA_FIELDS(field_slice, TESSERA_FIELD(parts), TESSERA_FIELD(cut));
TESSERA_FIELDS(held_patch, TESSERA_FIELD(region), TESSERA_FIELD(version));
TESSERA_FIELDS(subscribe, TESSERA_FIELD(epoch), TESSERA_FIELD(have), TESSERA_FIELD(max_bits_per_s));
TESSERA_FIELDS(view, TESSERA_WRAPPED(raw_ref, position), TESSERA_WRAPPED(raw_ref, direction));
TESSERA_FIELDS(ack, TESSERA_FIELD(patches));
TESSERA_FIELDS(lost, TESSERA_FIELD(regions));

template <>
struct message_fields<verdict> {
  static constexpr const char* name = "verdict";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    using what_ref = enum_ref<std::remove_reference_t<decltype((x.what))>>;
    return f(field<what_ref>{"what", what_ref{x.what, outcome::retracted}}, TESSERA_FIELD(reason), TESSERA_FIELD(keyframes),
             TESSERA_FIELD(left));
  }
};

template <>
struct message_fields<map_input> {
  static constexpr const char* name = "map_input";
  template <class F, class T>
  static decltype(auto) visit(F&& f, T& x) {
    return f(field<variant_ref<T>>{"what", variant_ref<T>{x}});
  }
};

#undef TESSERA_FIELDS
#undef TESSERA_WRAPPED
#undef TESSERA_FIELD

} // namespace tessera
