#pragma once

#include "daemon/mediator/session.hpp"
#include "daemon/wire/messages.hpp"

/// Profile observe: what a session would see since an operation that the daemon has done, so that
/// the next verdict is the one that strict would have given.
namespace airlock {

template <class Request, class Reply>
void note_visible(const Request&, const Reply&, Session&) {}
void note_visible(const wire::AddToStore&, const wire::AddedPath& reply, Session& session);
void note_visible(const wire::AddTextToStore&, const wire::PathReply& reply, Session& session);
void note_visible(const wire::AddToStoreNar& request, const wire::Nothing&, Session& session);
void note_visible(const wire::BuildPaths& request, const wire::Done&, Session& session);
void note_visible(const wire::BuildPathsWithResults& request, const wire::BuildResults& reply,
                  Session& session);

}  // namespace airlock
