#pragma once

#include "net/base/shortage.hpp"
#include "net/sources/rgbd/rgbd_options.hpp"
#include "net/sources/sequence_options.hpp"
#include "net/sources/source.hpp"

#include <memory>
#include <string>

namespace tessera {

/// Offers the frames of a folder (rgbd_folder). Those without a pose are skipped, as where tracking was lost; bad ones are set
/// aside. `on_shortage` hears what is wanting for a frame to be read, which is then tried again until it works; without a
/// listener `run` throws it. Throws std::invalid_argument for options out of bounds, and as rgbd_folder.
std::unique_ptr<source> make_rgbd_source(const std::string& folder, const rgbd_options& options, const sequence_options& sequence,
                                         shortage_listener on_shortage);

} // namespace tessera
