#pragma once
// Sends keyframes to Tessera from C++: one header, C++17, POSIX only. Copy it into your SLAM system.
//
//   tessera::producer::segment_writer writer;     // segments /slam3r_keyframe_~SESSION~ID in shared memory
//   tessera::producer::keyframe frame;            // looks at your arrays, owns nothing
//   frame.id = "7", frame.pose = ..., frame.points = ..., frame.colours = ..., frame.count = ...;
//   auto shm_key = writer.write(frame);           // `tessera serve shm:/slam3r_keyframe_` sees it
//   auto note = tessera::producer::new_keyframe(frame, shm_key); // or tell RabbitMQ: bytes for any AMQP client
//
// Where librabbitmq's headers are installed, amqp_publisher does both (link with -lrabbitmq). The formats are in
// docs/protocol.md.
//
// Every keyframe names a session beside its id: one that is made anew for each run, so that a SLAM that starts again, and numbers
// from 0 again, does not send what is there already. `frame.session = ""` leaves it out; any other name joins what several runs
// send.
//
// A segment is written under a hidden name and then renamed: whoever looks sees the whole keyframe or nothing, and a name used
// again is replaced as a whole. The bytes go in by one gathering write straight from your arrays; a mapping takes twice as
// long, because each of its pages is cleared and faulted in first. Segments belong to the service once written: it unlinks them.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <deque>
#include <limits>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tessera::producer {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the segments are little-endian, and so must be the machine that writes them with this header"
#endif

inline constexpr std::size_t short_header_bytes = 104, long_header_bytes = 108;
inline constexpr std::size_t max_points = std::size_t{1} << 22;
inline constexpr std::size_t max_id_bytes = 256;
inline constexpr std::size_t max_session_bytes = 64;
inline constexpr std::size_t max_group_bytes = 64;
/// How far the last row of a pose may be from 0 0 0 1.
inline constexpr float pose_tolerance = 1e-3f;
inline constexpr const char* default_prefix = "/slam3r_keyframe_";
inline constexpr const char* default_exchange = "slam3r_keyframe_exchange";
inline constexpr const char* default_queue = "tessera";
inline constexpr const char* notification_content_type = "application/msgpack";
inline constexpr const char* keyframe_content_type = "application/vnd.tessera.keyframe";
/// What is being written is called so, and then something.
inline constexpr const char* hidden_prefix = ".tessera-writing-";

/// The session of this run of the program: the time of its start (UTC) and some digits drawn at random.
inline const std::string& run_session() {
  static const std::string name = [] {
    std::time_t now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    char text[32]; // NOLINT: strftime and snprintf want it
    auto used = std::strftime(text, sizeof text, "%Y%m%d-%H%M%S-", &utc);
    std::snprintf(text + used, sizeof text - used, "%06x", static_cast<unsigned>(std::random_device{}()) & 0xffffffu);
    return std::string(text);
  }();
  return name;
}

/// A keyframe in the caller's memory. All arrays must stay as they are until the call that takes it returns.
struct keyframe {
  /// Names the keyframe: 1 to 256 bytes of UTF-8 without control characters; for segments also without '/' and "..". It counts
  /// once.
  std::string id;
  /// world_from_camera, row-major, metres: element (row r, column c) is pose[4 * r + c]. A rotation, perhaps times a scale of
  /// 0.01 to 100, and a translation.
  std::array<float, 16> pose{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  /// `count` times x y z, world coordinates, metres.
  const float* points = nullptr;
  /// `count` times `channels` bytes, sRGB; a fourth channel is ignored.
  const std::uint8_t* colours = nullptr;
  std::size_t count = 0;
  std::uint32_t channels = 3;
  /// `count` values, or null.
  const float* confidence = nullptr;
  /// Nanoseconds since 1970; 0: now.
  std::uint64_t timestamp_ns = 0;
  /// min xyz, max xyz; made from the points if not given.
  std::optional<std::array<float, 6>> bbox;
  /// Ids are unique within a session: at most 64 bytes of UTF-8 without control characters; for segments also without '/', '~'
  /// and "..". Empty: the one that all share who name none.
  std::string session = run_session();
  /// A label by which keyframes can be taken out together (a robot, a floor): at most 64 bytes, as a session; may be empty. It
  /// travels with notifications and messages, not with a segment alone.
  std::string group = {};
};

/// More bytes than allowed were written and not yet taken by the service. Nothing was written.
class backlog_error : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

namespace detail {

[[noreturn]] inline void refuse(const std::string& message) {
  throw std::invalid_argument(message);
}

inline void check_name(const char* what, const std::string& name, std::size_t least, std::size_t most) {
  if (name.size() < least || name.size() > most)
    refuse(std::string(what) + " has " + std::to_string(name.size()) + " bytes, and must have " + std::to_string(least) + " to "
           + std::to_string(most));
  for (unsigned char c : name)
    if (c < 32 || c == 127)
      refuse(std::string(what) + " holds the control character " + std::to_string(unsigned{c}));
}

inline void check_id(const std::string& id) {
  check_name("keyframe id", id, 1, max_id_bytes);
}

inline void check_session(const std::string& session) {
  check_name("session", session, 0, max_session_bytes);
}

inline void check_pose(const std::array<float, 16>& pose) {
  for (std::size_t i = 0; i < 16; ++i)
    if (!std::isfinite(pose[i]))
      refuse("pose[" + std::to_string(i) + "] is " + std::to_string(pose[i]) + ", and must be finite");
  auto off = std::max({std::abs(pose[12]), std::abs(pose[13]), std::abs(pose[14]), std::abs(pose[15] - 1)});
  if (off > pose_tolerance)
    refuse("pose's last row is " + std::to_string(pose[12]) + " " + std::to_string(pose[13]) + " " + std::to_string(pose[14])
           + " " + std::to_string(pose[15]) + ", and must be 0 0 0 1 (row-major world_from_camera; is it transposed?)");
}

inline std::uint64_t now_ns() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

[[noreturn]] inline void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

/// Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md): the few kinds that notifications are made of.
class msgpack_writer {
public:
  void map(std::uint8_t pairs) { byte(static_cast<std::uint8_t>(0x80u | pairs)); } // up to 15
  void list(std::uint8_t size) { byte(static_cast<std::uint8_t>(0x90u | size)); }  // up to 15
  void long_list(std::size_t size) {
    byte(0xdd);
    big_endian(size, 4);
  }
  void text(std::string_view value) {
    if (value.size() < 32) {
      byte(static_cast<std::uint8_t>(0xa0u | value.size()));
    } else if (value.size() < 256) {
      byte(0xd9);
      byte(static_cast<std::uint8_t>(value.size()));
    } else {
      byte(0xda); // names and ids have less than 2^16 bytes
      big_endian(value.size(), 2);
    }
    out_.append(value);
  }
  void integer(std::uint64_t value) {
    byte(0xcf);
    big_endian(value, 8);
  }
  void real(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    byte(0xca);
    big_endian(bits, 4);
  }
  std::string take() { return std::move(out_); }

private:
  void byte(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void big_endian(std::uint64_t value, int bytes) {
    while (bytes-- > 0)
      byte(static_cast<std::uint8_t>(value >> (8 * bytes)));
  }
  std::string out_;
};

/// One that is empty is left out.
inline void write_label(msgpack_writer& out, std::string_view key, std::string_view value) {
  if (value.empty())
    return;
  out.text(key);
  out.text(value);
}

inline void write_pose(msgpack_writer& out, const std::array<float, 16>& pose) {
  out.text("pose_matrix");
  out.list(4);
  for (std::size_t row = 0; row < 4; ++row) {
    out.list(4);
    for (std::size_t column = 0; column < 4; ++column)
      out.real(pose[4 * row + column]);
  }
}

inline void write_flat_pose(msgpack_writer& out, std::string_view key, const std::array<float, 16>& pose) {
  out.text(key);
  out.long_list(pose.size());
  for (float value : pose)
    out.real(value);
}

} // namespace detail

/// Returns min xyz and max xyz of the points that are finite in all three coordinates; zeros if there are none.
inline std::array<float, 6> bounds(const float* points, std::size_t count) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  constexpr std::size_t lanes = 24; // whole points and whole vector registers
  std::array<float, lanes> low, high, spoilt{};
  low.fill(inf);
  high.fill(-inf);
  auto add = [&](const float* at, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      low[i] = at[i] < low[i] ? at[i] : low[i];
      high[i] = at[i] > high[i] ? at[i] : high[i];
      spoilt[i] += at[i] * 0.f; // stays 0, or is NaN from the first value on that is not finite
    }
  };
  std::size_t values = 3 * count, whole = values / lanes * lanes;
  for (std::size_t i = 0; i < whole; i += lanes)
    add(points + i, lanes);
  add(points + whole, values - whole);
  std::array<float, 6> box{inf, inf, inf, -inf, -inf, -inf};
  bool finite = true;
  for (std::size_t i = 0; i < lanes; ++i) {
    box[i % 3] = std::min(box[i % 3], low[i]);
    box[3 + i % 3] = std::max(box[3 + i % 3], high[i]);
    finite = finite && spoilt[i] == 0;
  }
  if (!finite) {
    box = {inf, inf, inf, -inf, -inf, -inf};
    for (const float* p = points; p != points + values; p += 3) {
      if (!std::isfinite(p[0]) || !std::isfinite(p[1]) || !std::isfinite(p[2]))
        continue;
      for (std::size_t a = 0; a < 3; ++a) {
        box[a] = std::min(box[a], p[a]);
        box[3 + a] = std::max(box[3 + a], p[a]);
      }
    }
  }
  return box[0] <= box[3] ? box : std::array<float, 6>{};
}

/// Throws std::invalid_argument, naming the field, the value and the bound, if the service would refuse the keyframe.
inline void check(const keyframe& frame) {
  detail::check_id(frame.id);
  detail::check_session(frame.session);
  detail::check_name("group", frame.group, 0, max_group_bytes);
  detail::check_pose(frame.pose);
  if (frame.count < 1 || frame.count > max_points)
    detail::refuse("count is " + std::to_string(frame.count) + ", and must be 1 to " + std::to_string(max_points));
  if (frame.points == nullptr)
    detail::refuse("points is null");
  if (frame.colours == nullptr)
    detail::refuse("colours is null");
  if (frame.channels != 3 && frame.channels != 4)
    detail::refuse("channels is " + std::to_string(frame.channels) + ", and must be 3 or 4");
  if (frame.bbox)
    for (float value : *frame.bbox)
      if (!std::isfinite(value))
        detail::refuse("bbox holds " + std::to_string(value) + ", and must be finite");
}

/// The two layouts of a keyframe.
enum class form { automatic, short_header, long_header };

/// A keyframe's bytes: a header, and where the arrays lie. Copies no array.
class layout {
public:
  /// Checks the keyframe (see check) and makes its header. `automatic`: the 108-byte form if there is confidence, else the
  /// 104-byte form. The keyframe's arrays must outlive the layout.
  explicit layout(const keyframe& frame, form wanted = form::automatic) {
    check(frame);
    bool with_confidence = frame.confidence != nullptr;
    bool long_form = wanted == form::long_header || (wanted == form::automatic && with_confidence);
    if (with_confidence && !long_form)
      detail::refuse("confidence needs the 108-byte form");
    timestamp_ns_ = frame.timestamp_ns != 0 ? frame.timestamp_ns : detail::now_ns();
    bbox_ = frame.bbox ? *frame.bbox : bounds(frame.points, frame.count);
    std::size_t at = 0;
    auto put = [&](const auto& value) {
      std::memcpy(header_.data() + at, &value, sizeof value);
      at += sizeof value;
    };
    put(timestamp_ns_);
    put(static_cast<std::uint32_t>(frame.count));
    put(frame.channels);
    if (long_form)
      put(std::uint32_t{with_confidence});
    put(frame.pose);
    put(bbox_);
    add(header_.data(), at);
    add(frame.points, frame.count * 3 * sizeof(float));
    add(frame.colours, frame.count * frame.channels);
    if (with_confidence)
      add(frame.confidence, frame.count * sizeof(float));
  }
  layout(const layout&) = delete;
  layout& operator=(const layout&) = delete;

  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t timestamp_ns() const { return timestamp_ns_; }
  [[nodiscard]] const std::array<float, 6>& bbox() const { return bbox_; }
  /// The parts in order, for a gathering write.
  [[nodiscard]] std::array<iovec, 4> parts() const { return parts_; }
  [[nodiscard]] std::size_t part_count() const { return part_count_; }

private:
  void add(const void* data, std::size_t size) {
    parts_[part_count_++] = {const_cast<void*>(data), size};
    bytes_ += size;
  }
  std::array<char, long_header_bytes> header_{};
  std::array<iovec, 4> parts_{};
  std::size_t part_count_ = 0, bytes_ = 0;
  std::uint64_t timestamp_ns_ = 0;
  std::array<float, 6> bbox_{};
};

/// Returns a keyframe as the body of an HTTP POST to /v1/keyframes or of an AMQP message, content type keyframe_content_type.
inline std::string message_body(const keyframe& frame) {
  layout bytes(frame, form::long_header);
  std::string out;
  out.reserve(bytes.bytes());
  auto parts = bytes.parts();
  for (std::size_t i = 0; i < bytes.part_count(); ++i)
    out.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
  return out;
}

/// Returns the notification that a segment holds a keyframe; routing key keyframe.new. `bytes` is the keyframe's layout.
inline std::string new_keyframe(const keyframe& frame, std::string_view shm_key, const layout& bytes) {
  detail::msgpack_writer out;
  out.map(static_cast<std::uint8_t>(7 + !frame.session.empty() + !frame.group.empty()));
  out.text("type");
  out.text("keyframe.new");
  out.text("keyframe_id");
  out.text(frame.id);
  detail::write_label(out, "session", frame.session);
  detail::write_label(out, "group", frame.group);
  out.text("timestamp_ns");
  out.integer(bytes.timestamp_ns());
  detail::write_pose(out, frame.pose);
  out.text("shm_key");
  out.text(shm_key);
  out.text("point_count");
  out.integer(frame.count);
  out.text("bbox");
  out.list(6);
  for (float value : bytes.bbox())
    out.real(value);
  return out.take();
}

/// The same, if no layout is at hand: it is made once more, which reads all points for their bounds unless bbox is given.
inline std::string new_keyframe(const keyframe& frame, std::string_view shm_key) {
  return new_keyframe(frame, shm_key, layout(frame));
}

/// Returns the notification that a keyframe has another pose; routing key keyframe.revise. With a `revision`, which must grow,
/// what comes late or twice changes nothing.
inline std::string revise_keyframe(const std::string& id, const std::array<float, 16>& pose, std::uint64_t timestamp_ns = 0,
                                   const std::string& session = run_session(), std::optional<std::uint64_t> revision = {}) {
  detail::check_id(id);
  detail::check_session(session);
  detail::check_pose(pose);
  detail::msgpack_writer out;
  out.map(static_cast<std::uint8_t>(4 + !session.empty() + revision.has_value()));
  out.text("type");
  out.text("keyframe.revise");
  out.text("keyframe_id");
  out.text(id);
  detail::write_label(out, "session", session);
  out.text("timestamp_ns");
  out.integer(timestamp_ns != 0 ? timestamp_ns : detail::now_ns());
  if (revision) {
    out.text("revision");
    out.integer(*revision);
  }
  detail::write_pose(out, pose);
  return out.take();
}

/// A keyframe's new pose.
struct keyframe_pose {
  std::string id;
  std::array<float, 16> pose;
};

/// Most keyframes that can be moved at once, and bytes that say so in a notification: enough for some 9,000.
inline constexpr std::size_t max_revisions = 65'536, max_notification_bytes = 1 << 20;

/// Returns what moves many keyframes at once, so that viewers see each part of the map change once: a notification, routing key
/// keyframe.revise, and the body of an HTTP POST to /v1/keyframes:revise, content type notification_content_type. With a
/// `revision` other than 0, which must grow, what comes late or twice changes nothing. Throws std::invalid_argument for what the
/// service would refuse, and names the entry.
inline std::string revise_keyframes(const std::vector<keyframe_pose>& poses, std::uint64_t revision = 0,
                                    const std::string& session = run_session()) {
  detail::check_session(session);
  if (poses.empty() || poses.size() > max_revisions)
    detail::refuse("there are " + std::to_string(poses.size()) + " poses, and must be 1 to " + std::to_string(max_revisions));
  detail::msgpack_writer out;
  out.map(static_cast<std::uint8_t>(2 + !session.empty() + (revision != 0)));
  out.text("type");
  out.text("keyframe.revise");
  detail::write_label(out, "session", session);
  if (revision != 0) {
    out.text("revision");
    out.integer(revision);
  }
  out.text("revisions");
  out.long_list(poses.size());
  for (std::size_t i = 0; i < poses.size(); ++i) {
    try {
      detail::check_id(poses[i].id);
      detail::check_pose(poses[i].pose);
    } catch (const std::invalid_argument& e) {
      detail::refuse("poses[" + std::to_string(i) + "]: " + e.what());
    }
    out.map(2);
    out.text("id");
    out.text(poses[i].id);
    detail::write_flat_pose(out, "pose", poses[i].pose);
  }
  return out.take();
}

/// The same of all keyframes of a group, which move by one similarity: new pose = transform * pose. What comes later is not
/// moved. `revision` must grow, and is the time in nanoseconds if it is 0.
inline std::string move_group(const std::string& group, const std::array<float, 16>& transform, std::uint64_t revision = 0) {
  detail::check_name("group", group, 1, max_group_bytes);
  detail::check_pose(transform);
  detail::msgpack_writer out;
  out.map(4);
  out.text("type");
  out.text("keyframe.revise");
  out.text("group");
  out.text(group);
  out.text("revision");
  out.integer(revision != 0 ? revision : detail::now_ns());
  detail::write_flat_pose(out, "transform", transform);
  return out.take();
}

/// Returns the notification that a keyframe shall count no longer; routing key keyframe.retract.
inline std::string retract_keyframe(const std::string& id, std::uint64_t timestamp_ns = 0,
                                    const std::string& session = run_session()) {
  detail::check_id(id);
  detail::check_session(session);
  detail::msgpack_writer out;
  out.map(static_cast<std::uint8_t>(3 + !session.empty()));
  out.text("type");
  out.text("keyframe.retract");
  out.text("keyframe_id");
  out.text(id);
  detail::write_label(out, "session", session);
  out.text("timestamp_ns");
  out.integer(timestamp_ns != 0 ? timestamp_ns : detail::now_ns());
  return out.take();
}

namespace detail {

/// Nobody writes the file any more. A read lease is only given where nobody has the file open, or mapped, for writing; the kernel
/// knows of writers in all containers that share the folder, whose process ids mean nothing here. Where there are no leases
/// (another user's file, another kind of system), the file's age decides: a write takes milliseconds. So it does for a file
/// without content: a new one is seen in the folder a moment before the kernel counts who creates it among its writers.
inline bool is_abandoned(int file, const struct stat& state) {
  constexpr std::time_t old_enough_s = 60;
  const bool old = std::time(nullptr) - std::max(state.st_mtim.tv_sec, state.st_ctim.tv_sec) > old_enough_s;
  if (state.st_size == 0)
    return old;
  if (::fcntl(file, F_SETLEASE, F_RDLCK) == 0) {
    ::fcntl(file, F_SETLEASE, F_UNLCK);
    return true;
  }
  return errno != EAGAIN && old;
}

} // namespace detail

/// Removes what producers left half written in the folder when they were killed; returns how many files. What somebody still
/// writes, in whatever container, stays, and so does what this user may not touch.
inline std::size_t remove_abandoned(const std::string& folder) {
  std::size_t removed = 0;
  DIR* listing = ::opendir(folder.c_str());
  if (listing == nullptr)
    return 0;
  while (const dirent* entry = ::readdir(listing)) {
    if (std::strncmp(entry->d_name, hidden_prefix, std::strlen(hidden_prefix)) != 0)
      continue;
    int file = ::openat(::dirfd(listing), entry->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0)
      continue;
    struct stat state {};
    if (::fstat(file, &state) == 0 && S_ISREG(state.st_mode) && detail::is_abandoned(file, state)
        && ::unlinkat(::dirfd(listing), entry->d_name, 0) == 0)
      ++removed;
    ::close(file);
  }
  ::closedir(listing);
  return removed;
}

/// Settings of a segment_writer.
struct segment_options {
  std::string prefix = default_prefix;
  /// So many bytes may lie there unread before write throws backlog_error; 0: no limit.
  std::uint64_t max_pending_bytes = std::uint64_t{1} << 30;
  /// Instead, and where shared memory is full before that, unlinks the oldest segments of this writer that nobody has taken.
  bool drop_oldest = false;
  /// Permission bits. A service of another user needs 0644 to read segments, and unlinks them only if it is root: /dev/shm is
  /// sticky.
  mode_t mode = 0600;
  /// Where shared memory is.
  std::string folder = "/dev/shm";
};

/// Writes keyframes into shared memory segments named prefix + "~" + session + "~" + id, or prefix + id if the session is empty.
///
/// Threads: one at a time.
class segment_writer {
public:
  /// Throws std::invalid_argument if the prefix is no segment name. Removes what killed producers left half written.
  explicit segment_writer(segment_options options = {}) : options_(std::move(options)) {
    auto& prefix = options_.prefix;
    if (prefix.empty() || prefix.front() != '/')
      prefix.insert(prefix.begin(), '/');
    if (prefix.size() < 2 || prefix[1] == '.' || prefix.find('/', 1) != std::string::npos
        || prefix.find("..") != std::string::npos)
      detail::refuse("prefix is \"" + prefix + "\", and must be a name with one slash, at its begin, and no \"..\"");
    std::random_device random; // process ids repeat where containers share the folder
    run_ = std::to_string(::getpid()) + "-" + std::to_string(random()) + std::to_string(random());
    remove_abandoned(options_.folder);
  }

  /// Returns the segment's name (the notification's shm_key). Throws std::invalid_argument for a keyframe that will not do,
  /// backlog_error, std::system_error (ENOSPC: shared memory is full). Then nothing was written.
  std::string write(const keyframe& frame, form wanted = form::automatic) {
    return write(frame.id, layout(frame, wanted), frame.session);
  }

  /// The same for a layout that is at hand.
  std::string write(const std::string& id, const layout& bytes, const std::string& session = run_session()) {
    auto key = key_of(id, session);
    make_room(bytes.bytes());
    auto inode = write_in_any_room(key, bytes);
    forget(key);
    pending_.push_back({key, inode, bytes.bytes()});
    pending_bytes_ += bytes.bytes();
    return key;
  }

  /// Returns the name of a keyframe's segment. Throws std::invalid_argument if id or session cannot be part of one.
  [[nodiscard]] std::string key_of(const std::string& id, const std::string& session = run_session()) const {
    detail::check_id(id);
    detail::check_session(session);
    if (id.find('/') != std::string::npos || id.find("..") != std::string::npos)
      detail::refuse("keyframe id is \"" + id + "\": a segment's name holds neither '/' nor \"..\"");
    if (session.find_first_of("/~") != std::string::npos || session.find("..") != std::string::npos)
      detail::refuse("session is \"" + session + "\": in a segment's name it holds neither '/' nor '~' nor \"..\"");
    auto key = options_.prefix + (session.empty() ? "" : "~" + session + "~") + id;
    if (key.size() - 1 > max_name_bytes)
      detail::refuse("prefix" + std::string(session.empty() ? "" : ", session") + " and keyframe id have "
                     + std::to_string(key.size() - 1) + " bytes together, and may have " + std::to_string(max_name_bytes));
    return key;
  }

  /// Unlinks a segment of this writer that the service will not be told of; false if it is gone or somebody else's.
  bool discard(const std::string& key) {
    for (const auto& each : pending_) {
      if (each.key == key) {
        bool mine = is_mine(each);
        if (mine)
          ::unlink((options_.folder + key).c_str());
        forget(key);
        return mine;
      }
    }
    return false;
  }

  /// Bytes that were written and, when last looked at, not taken.
  [[nodiscard]] std::uint64_t pending_bytes() const { return pending_bytes_; }
  /// Segments unlinked unread under drop_oldest.
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

private:
  static constexpr std::size_t max_name_bytes = 255; // of a file

  struct written {
    std::string key;
    ino_t inode;
    std::uint64_t bytes;
  };

  [[nodiscard]] bool is_mine(const written& segment) const {
    struct stat state {};
    return ::lstat((options_.folder + segment.key).c_str(), &state) == 0 && state.st_ino == segment.inode;
  }

  void forget(const std::string& key) {
    auto at = std::find_if(pending_.begin(), pending_.end(), [&](const written& each) { return each.key == key; });
    if (at != pending_.end()) {
      pending_bytes_ -= at->bytes;
      pending_.erase(at);
    }
  }

  void make_room(std::uint64_t bytes) {
    // The service takes segments about in order: looking at the oldest keeps the count right at one lstat a keyframe.
    while (!pending_.empty() && !is_mine(pending_.front()))
      forget(std::string(pending_.front().key));
    auto limit = options_.max_pending_bytes;
    if (limit == 0 || pending_bytes_ + bytes <= limit)
      return;
    for (std::size_t i = pending_.size(); i-- > 0;)
      if (!is_mine(pending_[i]))
        forget(std::string(pending_[i].key));
    while (options_.drop_oldest && !pending_.empty() && pending_bytes_ + bytes > limit) {
      discard(std::string(pending_.front().key));
      ++dropped_;
    }
    if (pending_bytes_ + bytes > limit)
      throw backlog_error(std::to_string(pending_.size()) + " segments of this producer with " + std::to_string(pending_bytes_)
                          + " bytes have not been taken, and " + std::to_string(bytes) + " more would exceed max_pending_bytes = "
                          + std::to_string(limit) + ". Is the service running, and does it unlink what it has used?");
  }

  /// The folder is, or what the container may have.
  static bool is_full(int error) { return error == ENOSPC || error == EDQUOT || error == ENOMEM; }

  /// Writes it; where there is no room, in that of what killed producers left, and, if it may, of the oldest segments that nobody
  /// has taken.
  ino_t write_in_any_room(const std::string& key, const layout& bytes) {
    for (;;) {
      ino_t inode = 0;
      int error = write_and_rename(key, bytes, inode);
      if (error == 0)
        return inode;
      if (is_full(error) && remove_abandoned(options_.folder) > 0)
        continue;
      if (!is_full(error) || !options_.drop_oldest || !drop_one(bytes.bytes()))
        fail(error, key, bytes);
    }
  }

  /// Unlinks the oldest segment that is still there; false if there is none, or so much would never fit.
  bool drop_one(std::uint64_t bytes) {
    struct statvfs state {};
    if (::statvfs(options_.folder.c_str(), &state) == 0 && state.f_blocks != 0 && state.f_blocks * state.f_frsize < bytes)
      return false;
    while (!pending_.empty()) {
      if (discard(std::string(pending_.front().key))) {
        ++dropped_;
        return true;
      }
    }
    return false;
  }

  /// Returns 0 or an errno; then nothing is left of it.
  int write_and_rename(const std::string& key, const layout& bytes, ino_t& inode) {
    auto hidden = options_.folder + "/" + hidden_prefix + run_ + "-" + std::to_string(number_++);
    int file = ::open(hidden.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, options_.mode);
    if (file < 0)
      return errno;
    struct stat state {};
    int error = write_all(file, bytes);
    if (error == 0 && (::fchmod(file, options_.mode) != 0 || ::fstat(file, &state) != 0)) // whatever the umask says
      error = errno;
    // Open until it has its name: a hidden file that nobody has open is one that a killed producer left.
    if (error == 0 && ::rename(hidden.c_str(), (options_.folder + key).c_str()) != 0)
      error = errno;
    if (error != 0)
      ::unlink(hidden.c_str());
    ::close(file);
    inode = state.st_ino;
    return error;
  }

  /// Returns 0 or an errno.
  static int write_all(int file, const layout& bytes) {
    auto parts = bytes.parts();
    std::size_t first = 0, done = 0; // parts, bytes
    while (done < bytes.bytes()) {   // a write ends early at 2 GiB, at a signal, and where memory ends (the next one says so)
      auto step = ::pwritev(file, parts.data() + first, static_cast<int>(bytes.part_count() - first), static_cast<off_t>(done));
      if (step < 0 && errno == EINTR)
        continue;
      if (step <= 0)
        return step < 0 ? errno : ENOSPC;
      done += static_cast<std::size_t>(step);
      for (auto left = static_cast<std::size_t>(step); left > 0;) {
        auto& part = parts[first];
        auto used = std::min(left, part.iov_len);
        part = {static_cast<char*>(part.iov_base) + used, part.iov_len - used};
        left -= used;
        if (part.iov_len == 0)
          ++first;
      }
    }
    return 0;
  }

  [[noreturn]] void fail(int error, const std::string& key, const layout& bytes) const {
    auto what = "cannot write the segment " + key + " in " + options_.folder;
    struct statvfs state {};
    if (is_full(error) && ::statvfs(options_.folder.c_str(), &state) == 0)
      what += ": it needs " + std::to_string(bytes.bytes()) + " bytes, " + std::to_string(state.f_bavail * state.f_frsize)
              + " of " + std::to_string(state.f_blocks * state.f_frsize) + " are free, and " + std::to_string(pending_bytes_)
              + " of this producer may still wait to be taken (is the service running? Containers get 64 MB unless told "
                "otherwise: docker run --shm-size)";
    detail::fail(error, what);
  }

  segment_options options_;
  std::string run_;
  std::uint64_t number_ = 0;
  std::deque<written> pending_; // oldest first
  std::uint64_t pending_bytes_ = 0, dropped_ = 0;
};

} // namespace tessera::producer

#if (__has_include(<rabbitmq-c/amqp.h>) || __has_include(<amqp.h>)) && !defined(TESSERA_PRODUCER_WITHOUT_AMQP)
#if __has_include(<rabbitmq-c/amqp.h>) // newer versions' name of it
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

#include <memory>

namespace tessera::producer {

/// Settings of an amqp_publisher.
struct amqp_options {
  std::string url = "amqp://guest:guest@127.0.0.1:5672/"; ///< this client knows no TLS: amqps:// is refused
  std::string exchange = default_exchange;
  /// The service's queue. It is made, durable, when a message finds none bound to the exchange: so what is published before the
  /// service runs for the first time waits for it.
  std::string queue = default_queue;
  segment_options segments;
  /// Sends keyframes inside the messages, for a service on another machine, instead of through shared memory.
  bool embed = false;
  /// Has the broker keep messages over its own restart.
  bool persistent = true;
  /// For connecting, and for the broker to confirm a message.
  std::chrono::milliseconds timeout{10'000};
};

namespace detail {

/// Puts the byte in the place of %80 to %FF, which rabbitmq-c's parser of addresses refuses, though a password in UTF-8 is
/// written so.
inline void decode_beyond_ascii(std::string& url) {
  for (std::size_t at = 0; (at = url.find('%', at)) != std::string::npos; ++at) {
    unsigned byte = 0;
    const char* digits = url.data() + at + 1;
    if (at + 2 < url.size() && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2 && byte >= 0x80)
      url.replace(at, 3, 1, static_cast<char>(byte));
  }
}

} // namespace detail

/// The broker or the way to it would not do it.
class broker_error : public std::runtime_error {
public:
  broker_error(const std::string& what, int code) : std::runtime_error(what), code_(code) {}
  /// The broker's reply code (403: access refused, 530: no such vhost), or 0.
  [[nodiscard]] int code() const { return code_; }

private:
  int code_;
};

/// Writes keyframes into shared memory and tells the service through RabbitMQ. Each call returns when the broker has the message
/// in a queue; a call that throws broker_error closes the connection, and the next one opens it again.
///
/// Threads: one at a time.
class amqp_publisher {
public:
  amqp_publisher(const amqp_publisher&) = delete;
  amqp_publisher& operator=(const amqp_publisher&) = delete;
  /// Does not connect yet. Throws std::invalid_argument for a URL or prefix that will not do.
  explicit amqp_publisher(amqp_options options)
    : options_(std::move(options)), writer_(options_.segments), url_text_(options_.url) {
    if (url_text_.find('?') != std::string::npos)
      detail::refuse("the broker's address has a ?, and nothing may follow its vhost here (a ? in a password is written %3F)");
    detail::decode_beyond_ascii(url_text_);
    amqp_default_connection_info(&url_);
    if (url_text_.rfind("amqps:", 0) == 0)
      detail::refuse("the broker's address begins with amqps://, and this client knows no TLS: have it publish to a service over "
                     "HTTP through a proxy, to a broker's plain port, or by `tessera publish` or tessera_client, which know TLS");
    if (amqp_parse_url(url_text_.data(), &url_) != AMQP_STATUS_OK)
      detail::refuse("the broker's address must be like amqp://USER:PASSWORD@HOST:PORT/VHOST");
    if (*url_.vhost == '\0') // a slash at the end means the default, as it does for other clients
      url_.vhost = default_vhost_;
  }

  /// Publishes a keyframe and returns its segment's name, or "" if it was embedded. Throws what segment_writer::write throws, and
  /// broker_error if the broker does not take the message; then the segment is gone again.
  std::string publish(const keyframe& frame) {
    if (options_.embed) {
      send("keyframe.new", keyframe_content_type, message_body(frame), &frame);
      return {};
    }
    layout bytes(frame);
    auto key = writer_.write(frame.id, bytes, frame.session);
    try {
      send("keyframe.new", notification_content_type, new_keyframe(frame, key, bytes));
    } catch (...) {
      writer_.discard(key);
      throw;
    }
    return key;
  }

  /// Gives a keyframe another pose.
  void revise(const std::string& id, const std::array<float, 16>& pose, const std::string& session = run_session()) {
    send("keyframe.revise", notification_content_type, revise_keyframe(id, pose, 0, session));
  }

  /// Gives many keyframes other poses at once: as many as fit into max_notification_bytes. Throws std::invalid_argument for more.
  void revise(const std::vector<keyframe_pose>& poses, std::uint64_t revision = 0, const std::string& session = run_session()) {
    send_revision(revise_keyframes(poses, revision, session));
  }

  /// Moves all keyframes of a group by one similarity.
  void move_group(const std::string& group, const std::array<float, 16>& transform, std::uint64_t revision = 0) {
    send_revision(producer::move_group(group, transform, revision));
  }

  /// Takes a keyframe out of the map.
  void retract(const std::string& id, const std::string& session = run_session()) {
    send("keyframe.retract", notification_content_type, retract_keyframe(id, 0, session));
  }

private:
  void send_revision(const std::string& body) {
    if (body.size() > max_notification_bytes)
      detail::refuse("the poses need " + std::to_string(body.size()) + " bytes, and a notification has "
                     + std::to_string(max_notification_bytes) + " at most: send them in parts");
    send("keyframe.revise", notification_content_type, body);
  }

  struct closer {
    void operator()(amqp_connection_state_t state) const { amqp_destroy_connection(state); }
  };
  using connection = std::unique_ptr<std::remove_pointer_t<amqp_connection_state_t>, closer>;

  static amqp_bytes_t view(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

  [[nodiscard]] timeval timeout() const {
    auto us = std::chrono::duration_cast<std::chrono::microseconds>(options_.timeout).count();
    return {static_cast<time_t>(us / 1'000'000), static_cast<suseconds_t>(us % 1'000'000)};
  }

  [[noreturn]] void fail(const std::string& what, int code = 0) {
    connection_.reset();
    throw broker_error("the broker at " + std::string(url_.host) + ":" + std::to_string(url_.port) + ": " + what, code);
  }

  void expect(const amqp_rpc_reply_t& reply, const std::string& what) {
    if (reply.reply_type == AMQP_RESPONSE_NORMAL)
      return;
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
      fail(what + ": " + amqp_error_string2(reply.library_error));
    auto refuse = [&](const auto& close) {
      fail(what + ": " + std::string(static_cast<char*>(close.reply_text.bytes), close.reply_text.len), close.reply_code);
    };
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD)
      refuse(*static_cast<amqp_channel_close_t*>(reply.reply.decoded));
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD)
      refuse(*static_cast<amqp_connection_close_t*>(reply.reply.decoded));
    fail(what + ": refused");
  }

  void open() {
    connection_.reset(amqp_new_connection());
    auto* socket = connection_ ? amqp_tcp_socket_new(connection_.get()) : nullptr;
    if (socket == nullptr)
      throw std::bad_alloc();
    auto limit = timeout();
    if (int status = amqp_socket_open_noblock(socket, url_.host, url_.port, &limit); status != AMQP_STATUS_OK)
      fail(std::string("cannot connect: ") + amqp_error_string2(status));
    amqp_set_rpc_timeout(connection_.get(), &limit);
    amqp_set_handshake_timeout(connection_.get(), &limit);
    // No heartbeat: nobody would answer it between two keyframes. A dead connection is found by the next confirmation.
    expect(amqp_login(connection_.get(), url_.vhost, 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, url_.user, url_.password), "login");
    amqp_channel_open(connection_.get(), 1);
    expect(amqp_get_rpc_reply(connection_.get()), "opening a channel");
    amqp_exchange_declare(connection_.get(), 1, view(options_.exchange), view("topic"), 0, 1, 0, 0, amqp_empty_table);
    expect(amqp_get_rpc_reply(connection_.get()), "declaring the exchange " + options_.exchange);
    amqp_confirm_select(connection_.get(), 1);
    expect(amqp_get_rpc_reply(connection_.get()), "asking for confirmations");
  }

  /// `embedded` is the keyframe that is the body: what it is called stands beside it.
  void send(std::string_view routing_key, std::string_view content_type, std::string_view body,
            const keyframe* embedded = nullptr) {
    if (!connection_)
      open();
    amqp_basic_properties_t properties{};
    properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties.content_type = view(content_type);
    properties.delivery_mode = options_.persistent ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT;
    std::array<amqp_table_entry_t, 2> headers{};
    if (embedded != nullptr) {
      properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_HEADERS_FLAG;
      properties.message_id = view(embedded->id);
      properties.headers.entries = headers.data();
      auto add = [&](std::string_view key, const std::string& value) {
        if (value.empty())
          return;
        auto& entry = headers[static_cast<std::size_t>(properties.headers.num_entries++)];
        entry.key = view(key);
        entry.value.kind = AMQP_FIELD_KIND_UTF8;
        entry.value.value.bytes = view(value);
      };
      add("session", embedded->session);
      add("group", embedded->group);
    }
    auto publish = [&] {
      constexpr amqp_boolean_t mandatory = 1; // what no queue is bound for comes back
      int status = amqp_basic_publish(connection_.get(), 1, view(options_.exchange), view(routing_key), mandatory, 0, &properties,
                                      view(body));
      if (status != AMQP_STATUS_OK)
        fail(std::string("cannot send: ") + amqp_error_string2(status));
      return confirmed();
    };
    if (publish())
      return;
    make_queue();
    if (!publish())
      fail("the message found no queue bound to the exchange " + options_.exchange);
  }

  /// Waits until the broker has confirmed a message; false if no queue took it.
  bool confirmed() {
    for (bool returned = false;;) {
      amqp_frame_t frame{};
      auto limit = timeout();
      int status = amqp_simple_wait_frame_noblock(connection_.get(), &frame, &limit);
      if (status != AMQP_STATUS_OK)
        fail(std::string("no confirmation: ") + amqp_error_string2(status));
      if (frame.frame_type != AMQP_FRAME_METHOD) // what came back
        continue;
      if (frame.payload.method.id == AMQP_BASIC_RETURN_METHOD) {
        returned = true;
      } else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
        amqp_maybe_release_buffers(connection_.get());
        return !returned;
      } else {
        fail("the message was not taken");
      }
    }
  }

  void make_queue() {
    amqp_queue_declare(connection_.get(), 1, view(options_.queue), 0, 1, 0, 0, amqp_empty_table);
    expect(amqp_get_rpc_reply(connection_.get()), "declaring the queue " + options_.queue);
    amqp_queue_bind(connection_.get(), 1, view(options_.queue), view(options_.exchange), view("keyframe.*"), amqp_empty_table);
    expect(amqp_get_rpc_reply(connection_.get()), "binding the queue " + options_.queue);
  }

  amqp_options options_;
  segment_writer writer_;
  std::string url_text_; // url_ points into it
  char default_vhost_[2] = "/";
  amqp_connection_info url_{};
  connection connection_;
};

} // namespace tessera::producer
#endif
