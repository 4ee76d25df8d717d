#pragma once

#include "net/base/shortage.hpp"
#include "net/sources/recording/recording_options.hpp"
#include "net/sources/sequence_options.hpp"
#include "net/sources/source.hpp"

#include <memory>
#include <string>

namespace tessera {

/// Offers what is in a recording (docs/recordings.md), in the file's order: keyframes, revisions and retractions. What happens to
/// keyframes that are not chosen is left out with them; `limit` ends it before the first keyframe that is too many.
/// What is damaged is set aside; what is none of ours is passed over, counted, and told of at the end.
///
/// `on_shortage` hears what is wanting for a record to be read, which is then tried again until it works; without a listener
/// `run` throws it. Throws std::invalid_argument if keyframes are to be shuffled, which revisions and retractions do not bear;
/// and as recording_file.
std::unique_ptr<source> make_recording_source(const std::string& file, const recording_options& options,
                                              const sequence_options& sequence, shortage_listener on_shortage);

} // namespace tessera
