#pragma once

namespace airlock::fusefs {

/// What the view uses of the kernel where the kernel has it. Without one it is slower and the same.
struct ViewFeatures {
  bool open_without_asking = true;  ///< files are opened by the kernel alone (ENOSYS to the first)
  bool listings_with_attributes = true;  ///< READDIRPLUS
  bool cached_listings = true;           ///< of folders in the store
  bool list_without_asking =
      true;  ///< folders are opened by the kernel alone; wants the line above
};

}  // namespace airlock::fusefs
