#pragma once

#include <string>
#include <vector>

namespace tessera {

/// A session for each of several RGB-D folders, since the frames of each are called frame-000000 and so on: the folder's name,
/// or, where two are called alike, the last parts of all paths, as many as tell them apart (`kitchen-seq-01`). At most 64 bytes
/// of UTF-8 without control characters and ~. A folder that is named twice has one session: its frames count once. Empty for a
/// folder alone.
std::vector<std::string> rgbd_sessions(const std::vector<std::string>& folders);

} // namespace tessera
