/* joblock.c: the lock that says that a job's worker is alive. */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/lock.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "train/job.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* SQL's advisory locks are of class 1 (one bigint) and 2 (two integers). */
#define LIFE_CLASS    0xedd1
#define CONTROL_CLASS 0xedd2

static int64 life_held; /* by this process; 0 = none */

static LOCKTAG
Tag(int64 id, uint16 lock_class)
{
	LOCKTAG tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) ((uint64) id >> 32), (uint32) id, lock_class);
	return tag;
}

bool
JobLockForSession(int64 id)
{
	LOCKTAG tag = Tag(id, LIFE_CLASS);

	/* Those who only look hold the lock for an instant; a second worker holds it for good. */
	for (int attempt = 0; attempt < 100; attempt++)
	{
		switch (LockAcquire(&tag, ExclusiveLock, true, true))
		{
			case LOCKACQUIRE_NOT_AVAIL:
				break;
			/* Once more than before: by whom it is held nobody tells, and it counts. */
			case LOCKACQUIRE_ALREADY_HELD:
				return true;
			default:
				life_held = id;
				return true;
		}
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10000L);
	}
	return false;
}

void
JobLockForTransaction(int64 id)
{
	LOCKTAG tag = Tag(id, LIFE_CLASS);

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

bool
JobLockHeld(int64 id)
{
	LOCKTAG tag = Tag(id, LIFE_CLASS);

	/* Nobody conflicts with himself: user code that looks at its own job from inside the worker. */
	if (life_held == id)
		return true;
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, ShareLock, false);
	return false;
}

static void
WaitForLife(int64 id, int timeout)
{
	LOCKTAG tag = Tag(id, LIFE_CLASS);
	int saved = LockTimeout;

	PG_TRY();
	{
		LockTimeout = timeout;
		(void) LockAcquire(&tag, ShareLock, false, false);
	}
	PG_FINALLY();
	{
		LockTimeout = saved;
	}
	PG_END_TRY();
	LockRelease(&tag, ShareLock, false);
}

/*
 * A real lock wait, because a session that has locked what the worker needs and then waits for the worker is a deadlock, and only the lock manager
 * sees it. A lock wait ends early by an error alone, hence the subtransaction.
 */
bool
JobLockWait(int64 id, int64 timeout)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool free = true;

	if (timeout < 0)
	{
		WaitForLife(id, 0);
		return true;
	}
	if (timeout == 0)
		return !JobLockHeld(id);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		WaitForLife(id, (int) Min(timeout, INT_MAX));
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_LOCK_NOT_AVAILABLE)
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		free = false;
	}
	PG_END_TRY();
	return free;
}

void
JobControlLock(int64 id)
{
	LOCKTAG tag = Tag(id, CONTROL_CLASS);

	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

bool
JobDatabaseWanted(void)
{
	LOCKTAG tag;

	/* They take AccessExclusiveLock, then wait five seconds for others to leave. */
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, MyDatabaseId, 0);
	if (LockAcquire(&tag, AccessShareLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		return true;
	LockRelease(&tag, AccessShareLock, true);
	return false;
}
