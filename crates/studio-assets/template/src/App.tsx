export function App() {
  return (
    <main>
      <h1>Nothing here yet</h1>
      <p>The app is being made. This page changes by itself.</p>
    </main>
  );
}
