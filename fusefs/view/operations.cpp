#include "fusefs/view/operations.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

namespace airlock::fusefs {
namespace {

// What a handler answers follows from the derivation and never changes, so the kernel may keep it.
constexpr double forever = 1e9;

View& view_of(fuse_req_t request) {
  return *static_cast<View*>(fuse_req_userdata(request));
}

Tree& tree_of(fuse_req_t request) {
  return view_of(request).tree;
}

void fail(fuse_req_t request, std::errc error) {
  fuse_reply_err(request, static_cast<int>(error));
}

/// Answers by who asks, now or when that is known. The request, and with it the calling thread,
/// waits that long.
void ask_who(fuse_req_t request, Contacts::Patience patience, Contacts::Answer answer) {
  const auto* context = fuse_req_ctx(request);
  const auto& contacts = view_of(request).contacts;
  view_of(request).contacts.ask(
      context->pid, context->uid, patience,
      [request, &contacts, answer = std::move(answer)](const auto& derivation) {
        // As whoever asks a moment later: an empty folder would be taken for the truth.
        if (contacts.stopped()) return fail(request, std::errc::not_connected);
        answer(derivation);
      });
}

/// libfuse passes the number of the calling thread, not of its process.
pid_t caller_of(fuse_req_t request) {
  return fuse_req_ctx(request)->pid;
}

void answer_entry(fuse_req_t request, const Tree::Result<Tree::Found>& found) {
  if (!found) {
    fail(request, found.error());
    return;
  }
  fuse_entry_param entry{};
  entry.ino = found->id;
  entry.attr = found->attributes;
  entry.attr_timeout = found->attributes_last ? forever : 0;
  entry.entry_timeout = found->valid_for;
  // The caller was interrupted and the kernel did not take the answer: it will not be forgotten.
  if (fuse_reply_entry(request, &entry) != 0 && found->id != 0) {
    tree_of(request).forget(found->id, 1);
  }
}

/// Runs the handler: at once, or when the session that the node is of is open. A build that does
/// not get one finds that nothing was there.
template <typename Handler>
void when_open(fuse_req_t request, fuse_ino_t node, Handler handler) {
  if (!tree_of(request).must_wait(node, caller_of(request))) return handler();
  ask_who(request, Contacts::Patience::until_decided,
          [request, handler = std::move(handler)](const auto& derivation) {
            if (derivation) return handler();
            fail(request, std::errc::no_such_file_or_directory);
          });
}

void init(void* user_data, fuse_conn_info* connection) {
  auto& features = static_cast<View*>(user_data)->features;
  const auto has = [&](unsigned capability) { return (connection->capable & capability) != 0; };
  features.open_without_asking = features.open_without_asking && has(FUSE_CAP_NO_OPEN_SUPPORT);
  // Before 5.2 the kernel kept no listing of a folder that it had opened by itself.
  features.list_without_asking =
      features.list_without_asking && features.cached_listings && has(FUSE_CAP_NO_OPENDIR_SUPPORT);
  features.listings_with_attributes =
      features.listings_with_attributes && has(FUSE_CAP_READDIRPLUS);
  // Parallel: who waits in a folder that all sandboxes have must not keep the others out.
  unsigned wanted = FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_PARALLEL_DIROPS;
  if (features.listings_with_attributes) wanted |= FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO;
  // Nothing that is kept becomes invalid by itself: to look whether it has would be a question
  // before each listing of `var`, with the folder locked.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_AUTO_INVAL_DATA);
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                             FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO);
  connection->want |= connection->capable & wanted;
}

void lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (parent == var_node) {
    // Only names that a caller could have are worth to find out who it is.
    if (!tree_of(request).may_be_in_var(name))
      return fail(request, std::errc::no_such_file_or_directory);
    return ask_who(request, Contacts::Patience::until_offered,
                   [request, name = std::string(name)](const auto& derivation) {
                     answer_entry(request, tree_of(request).look_up_in_var(derivation, name));
                   });
  }
  when_open(request, parent, [request, parent, name = std::string(name)] {
    answer_entry(request, tree_of(request).look_up(parent, name, caller_of(request)));
  });
}

void forget(fuse_req_t request, fuse_ino_t node, std::uint64_t lookups) {
  tree_of(request).forget(node, lookups);
  fuse_reply_none(request);
}

void forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i)
    tree_of(request).forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(request);
}

void getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  if (node == var_node) {
    // Nothing here depends on who asks. But what is about to list the folder asks this first, and
    // here, unlike there, whoever is not known yet holds no lock of the folder's while it waits.
    return ask_who(request, Contacts::Patience::while_others_wait, [request](const auto&) {
      const auto attributes = tree_of(request).attributes(var_node);
      fuse_reply_attr(request, &*attributes, 0);
    });
  }
  when_open(request, node, [request, node] {
    const auto attributes = tree_of(request).attributes(node);
    if (!attributes) return fail(request, attributes.error());
    fuse_reply_attr(request, &*attributes, forever);
  });
}

void readlink(fuse_req_t request, fuse_ino_t node) {
  const auto target = tree_of(request).link_target(node);
  if (!target) {
    fail(request, target.error());
    return;
  }
  fuse_reply_readlink(request, target->c_str());
}

/// bind(2) comes here.
void mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t) {
  if (!S_ISSOCK(mode)) {
    fuse_reply_err(request, EROFS);
    return;
  }
  answer_entry(request, tree_of(request).make_socket(parent, name, caller_of(request)));
}

void open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  if ((file->flags & O_ACCMODE) != O_RDONLY || (file->flags & O_TRUNC) != 0) {
    fuse_reply_err(request, EROFS);
    return;
  }
  // The kernel opens by itself from then on. That nobody opens to write is the mount's to see to.
  if (view_of(request).features.open_without_asking) {
    fuse_reply_err(request, ENOSYS);
    return;
  }
  // No descriptor is kept: however many files a sandbox opens, none of ours are used up.
  file->keep_cache = 1;
  fuse_reply_open(request, file);
}

/// Whether the kernel may keep the folder's listing. What is listed in a store path never changes;
/// everywhere else it may, or depends on who asks.
bool listing_lasts(fuse_req_t request, fuse_ino_t node) {
  return view_of(request).features.cached_listings && tree_of(request).is_in_store(node);
}

void opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* file) {
  // The kernel opens folders by itself from then on, and keeps every listing that it has seen the
  // end of: see Piece.
  if (view_of(request).features.list_without_asking)
    return fail(request, std::errc::function_not_supported);
  const bool lasts = listing_lasts(request, node);
  file->cache_readdir = lasts ? 1 : 0;
  file->keep_cache = lasts ? 1 : 0;
  fuse_reply_open(request, file);
}

void read(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info*) {
  const auto bytes = tree_of(request).read(node, size, static_cast<std::uint64_t>(offset));
  if (!bytes) {
    fail(request, bytes.error());
    return;
  }
  fuse_reply_buf(request, bytes->data(), bytes->size());
}

/// A piece of a listing, as long as the kernel has room for it.
class Piece {
 public:
  /// full: with what a lookup of each name would answer, where that is known. lasts: the kernel may
  /// keep the listing that this is a piece of.
  Piece(fuse_req_t request, std::size_t size, bool full, bool lasts)
      : request_(request), buffer_(size, '\0'), full_(full), lasts_(lasts) {}

  bool take(const Tree::Listed& listed) {
    fuse_entry_param entry{};
    entry.attr.st_ino = listed.inode_number;
    entry.attr.st_mode = listed.type;
    const auto room = buffer_.size() - filled_;
    if (needed(listed, entry, nullptr, 0) > room) return false;
    if (full_ && listed.found) {
      // Only now: what is answered is counted.
      if (const auto found = listed.found()) {
        entry.ino = found->id;
        entry.attr = found->attributes;
        entry.entry_timeout = found->valid_for;
        entry.attr_timeout = forever;
        counted_.push_back(found->id);
      }
    }
    filled_ += needed(listed, entry, buffer_.data() + filled_, room);
    return true;
  }

  void reply() {
    // To the kernel an empty answer is the end, and the listing complete, to be kept if it opened
    // the folder by itself. Less than the head of an entry is the end as well, since no name is in
    // it, but completes nothing: the next who lists asks again.
    if (filled_ == 0 && !lasts_) filled_ = std::min(buffer_.size(), less_than_an_entry);
    if (fuse_reply_buf(request_, buffer_.data(), filled_) == 0) return;
    for (const auto node : counted_) tree_of(request_).forget(node, 1);
  }

 private:
  [[nodiscard]] std::size_t needed(const Tree::Listed& listed, const fuse_entry_param& entry,
                                   char* place, std::size_t room) const {
    if (full_) {
      return fuse_add_direntry_plus(request_, place, room, listed.name.c_str(), &entry,
                                    listed.next);
    }
    return fuse_add_direntry(request_, place, room, listed.name.c_str(), &entry.attr, listed.next);
  }

  static constexpr std::size_t less_than_an_entry = 8;

  fuse_req_t request_;
  std::string buffer_;
  std::size_t filled_ = 0;
  bool full_;
  bool lasts_;
  std::vector<NodeId> counted_;
};

void list(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t from, bool full) {
  if (node == var_node) {
    return ask_who(request, Contacts::Patience::until_next_offer,
                   [request, size, from, full](const auto& derivation) {
                     Piece piece(request, size, full, false);
                     tree_of(request).list_var(
                         derivation, from, [&](const auto& listed) { return piece.take(listed); });
                     piece.reply();
                   });
  }
  when_open(request, node, [request, node, size, from, full] {
    Piece piece(request, size, full, listing_lasts(request, node));
    const auto listed = tree_of(request).list(
        node, from, [&](const Tree::Listed& entry) { return piece.take(entry); });
    if (!listed) return fail(request, listed.error());
    piece.reply();
  });
}

void readdir(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t from, fuse_file_info*) {
  list(request, node, size, from, false);
}

void readdirplus(fuse_req_t request, fuse_ino_t node, std::size_t size, off_t from,
                 fuse_file_info*) {
  list(request, node, size, from, true);
}

void statfs(fuse_req_t request, fuse_ino_t) {
  struct statvfs filesystem {};
  filesystem.f_bsize = 4096;
  filesystem.f_frsize = 4096;
  filesystem.f_namemax = 255;
  fuse_reply_statfs(request, &filesystem);
}

/// Without default_permissions the kernel asks here for access(2) and chdir(2), root's included: a
/// client that could write to Nix's state folder would open the store itself, not the socket.
void access(fuse_req_t request, fuse_ino_t node, int mask) {
  when_open(request, node, [request, node, mask] {
    const auto attributes = tree_of(request).attributes(node);
    if (!attributes) return fail(request, attributes.error());
    int error = 0;
    if ((mask & W_OK) != 0 && !S_ISSOCK(attributes->st_mode)) error = EROFS;
    if (error == 0 && (mask & X_OK) != 0 && (attributes->st_mode & S_IXUSR) == 0) error = EACCES;
    fuse_reply_err(request, error);
  });
}

// Whatever would change something.

void read_only(fuse_req_t request) {
  fuse_reply_err(request, EROFS);
}

void setattr(fuse_req_t request, fuse_ino_t, struct stat*, int, fuse_file_info*) {
  read_only(request);
}

void mkdir(fuse_req_t request, fuse_ino_t, const char*, mode_t) {
  read_only(request);
}

void remove(fuse_req_t request, fuse_ino_t, const char*) {
  read_only(request);
}

void symlink(fuse_req_t request, const char*, fuse_ino_t, const char*) {
  read_only(request);
}

void rename(fuse_req_t request, fuse_ino_t, const char*, fuse_ino_t, const char*, unsigned) {
  read_only(request);
}

void link(fuse_req_t request, fuse_ino_t, fuse_ino_t, const char*) {
  read_only(request);
}

void write(fuse_req_t request, fuse_ino_t, const char*, std::size_t, off_t, fuse_file_info*) {
  read_only(request);
}

void create(fuse_req_t request, fuse_ino_t, const char*, mode_t, fuse_file_info*) {
  read_only(request);
}

void setxattr(fuse_req_t request, fuse_ino_t, const char*, const char*, std::size_t, int) {
  read_only(request);
}

void removexattr(fuse_req_t request, fuse_ino_t, const char*) {
  read_only(request);
}

void fallocate(fuse_req_t request, fuse_ino_t, int, off_t, off_t, fuse_file_info*) {
  read_only(request);
}

fuse_lowlevel_ops make_operations() {
  fuse_lowlevel_ops table{};
  table.init = init;
  table.lookup = lookup;
  table.forget = forget;
  table.forget_multi = forget_multi;
  table.getattr = getattr;
  table.readlink = readlink;
  table.mknod = mknod;
  table.open = open;
  table.opendir = opendir;
  table.read = read;
  table.readdir = readdir;
  table.readdirplus = readdirplus;
  table.statfs = statfs;
  table.access = access;
  table.setattr = setattr;
  table.mkdir = mkdir;
  table.unlink = remove;
  table.rmdir = remove;
  table.symlink = symlink;
  table.rename = rename;
  table.link = link;
  table.write = write;
  table.create = create;
  table.setxattr = setxattr;
  table.removexattr = removexattr;
  table.fallocate = fallocate;
  return table;
}

}  // namespace

const fuse_lowlevel_ops& operations() {
  static const fuse_lowlevel_ops table = make_operations();
  return table;
}

}  // namespace airlock::fusefs
