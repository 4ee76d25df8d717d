#pragma once

#include "actors/store/journal.hpp"
#include "messages/keyframe.hpp"
#include "net/commands/progress.hpp"

#include <stop_token>
#include <string>

namespace tessera {

/// A keyframe that becomes the stored one's rays: each ray's end in the world, under the pose that the keyframe has now, as often
/// as points count in it (docs/field.md: 31). Of its points nothing else is kept. `voxel_m`: of the rays.
keyframe keyframe_of(const stored_keyframe& stored, float voxel_m);

/// Writes a journal's live keyframes into a recording, oldest first; what is in quarantine is none of the map and stays out. Says
/// how much that was, and which keyframes are damaged and left out. Answers 0, or 1 if one is damaged, cannot be written, or it
/// was told to stop. Throws as recorder and journal::read().
int export_journal(const journal& kept, const std::string& file, progress_style progress, std::stop_token stop);

} // namespace tessera
