#pragma once

#include "net/base/shortage.hpp"
#include "net/sources/amqp/amqp_source.hpp"
#include "net/sources/recording/recording_source.hpp"
#include "net/sources/rgbd/rgbd_source.hpp"
#include "net/sources/sequence_options.hpp"
#include "net/sources/shm/segment_options.hpp"
#include "net/sources/shm/shm_watch.hpp"
#include "net/sources/source.hpp"
#include "net/sources/synthetic/synthetic_source.hpp"

#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// What all sources can be told; each is given what concerns it.
struct source_options {
  /// Of sources that go through frames of their own.
  sequence_options sequence;
  /// Of sources that read shared memory.
  segment_options segments;
  /// Hears what is wanting for an input to be read, which is then tried again until it works. None: such a thing is thrown by a
  /// source that offers what it names once, since what it goes on without would be missed in the result.
  shortage_listener on_shortage;

  synthetic_options synthetic;
  rgbd_options rgbd;
  recording_options recording;
  shm_options shm;
  amqp_options amqp;
};

/// Makes the source that a SOURCE argument names. Throws std::invalid_argument that lists what there is, or as the source's
/// maker.
std::unique_ptr<source> make_source(const std::string& uri, const source_options& options);

/// For each SOURCE of those that are taken together, the session that its frames are to have (rgbd_options): of several RGB-D
/// folders each has one of its own (rgbd_sessions). Empty for others.
std::vector<std::string> sessions_of(const std::vector<std::string>& uris);

/// Whether a SOURCE goes through frames of its own, such as a folder's: nobody else keeps those that a sink does not take now,
/// and after another start they come again. A broker and shared memory keep theirs, and bring them once. False if there is no
/// such source.
bool is_sequence(const std::string& uri);

/// What SOURCE arguments look like, for people: "synthetic:room, synthetic:building, rgbd:DIR, ...".
std::string source_forms(const std::string& before_last = ", ");

} // namespace tessera
