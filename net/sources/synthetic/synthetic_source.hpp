#pragma once

#include "net/base/shortage.hpp"
#include "net/sources/sequence_options.hpp"
#include "net/sources/source.hpp"
#include "net/sources/synthetic/synthetic_options.hpp"

#include <memory>
#include <string>

namespace tessera {

/// Offers the keyframes of a synthetic_scan. `on_shortage` hears what is wanting for one to be made, which is then tried again
/// until it works; without a listener `run` throws it. Throws as synthetic_scan.
std::unique_ptr<source> make_synthetic_source(const std::string& scene, const synthetic_options& options,
                                              const sequence_options& sequence, shortage_listener on_shortage);

} // namespace tessera
